"""The services as declarations, and what starts, watches and stops them. The embedded profile is Airflow (three processes on SQLite) and ONE JVM that
serves Spark Connect and JDBC; the full one is docker/compose.yml (full.py). All are on 127.0.0.1, each behind a secret of its own (conf/doors.py).
Secrets are in files and in the environment of this user's processes, never on a command line.

Everything they write is inside THROUGHLINE_HOME. Each service is a process group of its own; whoever starts them stops them, and the
kernel stops them when their starter dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import psutil

from conf import doors
from conf.settings import CONF, REPOSITORY, accounts_of, home, made, platform, pool_of, source_names, spark_confs
from conf.tables import table_names
from spark_jobs.embedded import healthy, jars
from spark_jobs.embedded.airflow_api import AirflowApi, AirflowError
from spark_jobs.embedded.declaration import AIRFLOW_ENV, BIN, HOST, Declaration, ServiceError, env_file

PREFERRED_PORTS = {"airflow": 8080, "connect": 15002, "jdbc": 10000}
# of a home with a sandbox world: the vendors' APIs that serve it
VENDORS_PORT = {"vendors": 8090}
PROFILES = ("embedded", "full")
# what `sandbox serve` writes beside the rows
CONNECTIONS = "connections.json"
# how many streams' pulls of one vendor Airflow runs at once
POOL_SLOTS = 2
START_TIMEOUT_SECONDS = 180
RESTARTS, RESTART_WINDOW_SECONDS = 3, 600
STOP_TIMEOUT_SECONDS = 10
# set in every process that belongs to one start, so that none is missed when they are stopped
MARK = "THROUGHLINE_SERVICES_ID"
# how long a health check of its own command may take
CHECK_SECONDS = 10


@dataclass
class Service:
    """One running process group."""

    declared: Declaration
    process: subprocess.Popen[bytes]
    log: Path
    restarts: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.declared.name

    def last_lines(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


@dataclass
class Services:
    """What runs: ports by name and the processes; `stop` ends all of them."""

    ports: Mapping[str, int]
    mark: str
    profile: str = "embedded"
    running: list[Service] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    holding: list[socket.socket] = field(default_factory=list)

    @property
    def airflow_url(self) -> str:
        return f"http://{HOST}:{self.ports['airflow']}"

    @property
    def jdbc_url(self) -> str:
        return f"jdbc:hive2://{HOST}:{self.ports['jdbc']}"

    @property
    def remote(self) -> str:
        return f"sc://{HOST}:{self.ports['connect']}"

    def stop(self) -> None:
        """End every process of this start: a polite signal to each group, then, for what is left, the other one."""
        ours = _processes_of(self.mark, [s.process.pid for s in self.running])
        for service in self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(service.process.pid, service.declared.stop_signal)
        _, alive = psutil.wait_procs(ours, timeout=STOP_TIMEOUT_SECONDS)
        for process in {*alive, *_processes_of(self.mark, [])}:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=STOP_TIMEOUT_SECONDS)
        for service in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.process.wait(timeout=STOP_TIMEOUT_SECONDS)
        self.running.clear()
        for port in self.holding:
            port.close()
        self.holding.clear()
        state_file().unlink(missing_ok=True)


def state_file() -> Path:
    """Which services run for this home: ports, process ids and the mark of their start."""
    return home() / "services.json"


def noted_state() -> dict[str, Any]:
    """What services.json says of this home; nothing where there is none, it is damaged, or it came here with a copy of another home."""
    try:
        state = json.loads(state_file().read_text(encoding="utf-8"))
        return dict(state) if state["home"] == str(home()) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def running_state() -> dict[str, Any] | None:
    """services.json when its starter still lives, else None."""
    state = noted_state()
    try:
        return state if abs(psutil.Process(state["starter_pid"]).create_time() - state["starter_created"]) < 2 else None
    except (ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        return None


def _processes_of(mark: str, roots: list[int]) -> list[psutil.Process]:
    """Every process below the roots, and every one that carries the mark in its environment."""
    found: set[psutil.Process] = set()
    for pid in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            found |= {root, *root.children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.add(process)
    return sorted(found, key=lambda p: p.pid)


def stop_leftovers() -> bool:
    """Stop what an earlier start of this home left behind; True when there was something."""
    path = state_file()
    if not path.is_file() or running_state():
        return False
    left = _processes_of(str(mark), []) if (mark := noted_state().get("mark")) else []
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=STOP_TIMEOUT_SECONDS)
    path.unlink(missing_ok=True)
    return bool(left)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def hold_port(port: int) -> socket.socket | None:
    """A free port for a service that will listen on it later: None where another start on this machine holds it. Held until closed, or until this
    process ends: Linux forgets a name without a file then."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0throughline/port/{port}")
    except OSError:
        held.close()
        return None
    if is_free(port):
        return held
    held.close()
    return None


def pick_ports(
    say: Callable[[str], None], preferred: Mapping[str, int] | None = None, holding: list[socket.socket] | None = None
) -> dict[str, int]:
    """The preferred ports (by default those of the embedded profile), or the next free ones, which is said. holding: gets what holds them."""
    chosen: dict[str, int] = {}
    kept = [] if holding is None else holding
    for name, wanted in (PREFERRED_PORTS if preferred is None else preferred).items():
        found = ((port, held) for port in range(wanted, wanted + 200) if (held := hold_port(port)))
        chosen[name], held = next(found)
        kept.append(held)
        if chosen[name] != wanted:
            say(f"Port {wanted} is taken: {name} listens on {chosen[name]} instead.")
    return chosen


def _die_with_parent() -> None:
    """Linux: the kernel sends SIGTERM to this process when its starter dies, however it dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _launch(declared: Declaration, again: bool = False) -> Service:
    """again: a service that ended is started once more, and its log goes on."""
    log = made(home() / "logs") / f"{declared.name}.log"
    with log.open("ab" if again else "wb") as out:
        process = subprocess.Popen(
            declared.command,
            cwd=home(),
            env=dict(declared.environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=doors.OTHERS,
            preexec_fn=_die_with_parent,
        )
    return Service(declared, process, log)


def base_env(mark: str) -> dict[str, str]:
    """What every service and every task sees: this environment's programs first, the repository importable, one clock."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW_", "AIRFLOW__", "SPARK_", "PYSPARK_"))}
    return {
        **kept,
        MARK: mark,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(REPOSITORY),
        "THROUGHLINE_HOME": str(home()),
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def spark_command(ports: Mapping[str, int], small: bool = False, master: str = "", host: str = HOST) -> list[str]:
    """spark-submit of Server.java, JDBC beside the Connect plugin: one JVM, which is also the only writer of the lake.

    master: of a standalone cluster whose machines all have this environment and the home; by default everything is in that JVM. host: where it listens.
    """
    state = home() / "spark"
    is_remote = platform().lake.startswith("s3a://")
    listed = [str(jar.path) for jar in (*jars.locked(), *(jars.locked(jars.S3_LOCK) if is_remote else ()))]
    gold = [name.removeprefix("gold.") for name in table_names() if name.startswith("gold.")]
    further = {"cluster": bool(master), "small": small, "s3": is_remote}
    chosen = spark_confs("session", "local", "server", *(name for name, is_wanted in further.items() if is_wanted))
    # a server without memory answers nobody and looks alive: it ends, is started again, and jobs try again
    java = f'"-Djava.io.tmpdir={state}/tmp" "-Dderby.system.home={state}/tmp" -Duser.timezone=UTC -XX:+ExitOnOutOfMemoryError'
    chosen |= {
        "spark.connect.grpc.binding.port": str(ports["connect"]),
        "spark.hadoop.hive.server2.thrift.port": str(ports["jdbc"]),
        "spark.sql.warehouse.dir": str(state / "warehouse"),
        "spark.local.dir": str(state / "tmp"),
        "spark.driver.extraJavaOptions": f"{java} {chosen['spark.driver.extraJavaOptions']}",
    }
    if master:
        bound = (
            "spark.driver.host",
            "spark.driver.bindAddress",
            "spark.connect.grpc.binding.address",
            "spark.hadoop.hive.server2.thrift.bind.host",
        )
        chosen |= {**dict.fromkeys(bound, host), "spark.executorEnv.PYTHONPATH": str(REPOSITORY)}
    if is_remote and (endpoint := os.environ.get("AWS_ENDPOINT_URL")):
        chosen["spark.hadoop.fs.s3a.endpoint"] = endpoint
    command = [str(BIN / "spark-submit"), "--class", "throughline.Server"]
    command += [
        "--master",
        master or f"local[{max(2, os.cpu_count() or 2)}]",
        "--name",
        "throughline",
        "--driver-memory",
        platform().spark_driver_memory,
    ]
    # in --jars alone, JDBC sessions do not find Delta's catalog class; a cluster's machines have the files themselves
    command += ["--jars", ",".join(f"local:{path}" if master else path for path in listed)]
    command += ["--driver-class-path", os.pathsep.join([*listed, str(jars.classes())])]
    for key, value in sorted(chosen.items()):
        command += ["--conf", f"{key}={value}"]
    return [*command, "spark-internal", f"{platform().lake}/gold", *gold]


def spark_env(host: str = HOST, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the server's JVM needs in its environment; its folders and secrets are made. given: where secrets that are known already are."""
    given = given or {}
    state = made(home() / "spark")
    for folder in ("tmp", "warehouse", "conf"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "conf" / "log4j2.properties").write_text((CONF / "spark" / "log4j2.properties").read_text(encoding="utf-8"), encoding="utf-8")
    jars.compile_server()
    if "THROUGHLINE_JDBC_PASSWORD_FILE" not in given:
        doors.secret(doors.JDBC_PASSWORD)
    return {
        "SPARK_LOCAL_IP": host,
        "SPARK_CONF_DIR": str(state / "conf"),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": given.get("SPARK_CONNECT_AUTHENTICATE_TOKEN") or doors.secret(doors.CONNECT_TOKEN),
        "THROUGHLINE_JDBC_USER": doors.JDBC_USER,
        "THROUGHLINE_JDBC_PASSWORD_FILE": given.get("THROUGHLINE_JDBC_PASSWORD_FILE", str(home() / doors.JDBC_PASSWORD)),
    }


def serve(ports: Mapping[str, int], master: str, host: str) -> NoReturn:
    """Become the Spark server of a standalone cluster; its secrets are in the environment of this process."""
    os.umask(doors.OTHERS)
    env = {**os.environ, **spark_env(host, os.environ)}
    # a driver takes the cluster's secret from its settings alone, and those of the command line everybody may read
    settings = Path(env["SPARK_CONF_DIR"], "spark-defaults.conf")
    settings.unlink(missing_ok=True)
    settings.write_text(f"spark.authenticate.secret {env.pop('_SPARK_AUTH_SECRET')}\n", encoding="utf-8")
    command = spark_command(ports, bool(os.environ.get("THROUGHLINE_SMALL")), master, host)
    os.execve(command[0], command, env)


# --- Airflow --------------------------------------------------------------------------------------------------------------


def _new_airflow_keys() -> str:
    """What Airflow's processes prove themselves to each other with."""
    return json.dumps({"jwt": secrets.token_hex(64), "api": secrets.token_hex(32)})


def airflow_env(ports: Mapping[str, int], env: Mapping[str, str], schedule: bool) -> dict[str, str]:
    """Airflow's settings as environment variables: conf/airflow.env and what is this start's own. schedule: whether due days start by themselves."""
    keys = json.loads(doors.secret(Path("airflow", "secrets.json"), _new_airflow_keys))
    doors.airflow_password()
    url = f"http://{HOST}:{ports['airflow']}"
    settings = {
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home() / 'airflow' / 'airflow.db'}",
        "API__HOST": HOST,
        "API__PORT": str(ports["airflow"]),
        "API__BASE_URL": url,
        "API__SECRET_KEY": keys["api"],
        "API_AUTH__JWT_SECRET": keys["jwt"],
        "SCHEDULER__USE_JOB_SCHEDULE": str(schedule),
    }
    own = {"THROUGHLINE_SPARK_REMOTE": f"sc://{HOST}:{ports['connect']}"}
    return {**env, **env_file(AIRFLOW_ENV), **own, **{f"AIRFLOW__{k}": v for k, v in settings.items()}}


def _migrated() -> Path:
    """The file that says for which version of Airflow the embedded metadata database was made or brought up to date."""
    return home() / "airflow" / "migrated"


def _is_migrated() -> bool:
    stamp = _migrated()
    return stamp.is_file() and stamp.with_name("airflow.db").is_file() and stamp.read_text(encoding="utf-8") == _airflow_version()


def _airflow_version() -> str:
    return importlib.metadata.version("apache-airflow")


def embedded(
    ports: Mapping[str, int], env: Mapping[str, str], schedule: bool = False, airflow: bool = True, small: bool = False
) -> list[Declaration]:
    """The services of the embedded profile; their folders and secrets are made."""
    at, monitor = f"tcp://{HOST}", f"http://{HOST}:{ports['airflow']}{healthy.MONITOR}"
    spark = Declaration(
        "spark",
        spark_command(ports, small),
        {**env, **spark_env()},
        healthy=(*healthy.COMMAND, f"{at}:{ports['connect']}", f"{at}:{ports['jdbc']}"),
    )
    if not airflow:
        return [spark]
    made(home() / "airflow")
    own, program = airflow_env(ports, env, schedule), str(BIN / "airflow")
    first = [] if _is_migrated() else [Declaration("airflow-migrate", [program, "db", "migrate"], own)]
    needs = [one.name for one in first]
    parts = (
        ("airflow-api-server", ("api-server", "--host", HOST, "--port", str(ports["airflow"]), "--workers", "1"), "metadatabase"),
        ("airflow-scheduler", ("scheduler", "--skip-serve-logs"), "scheduler"),
        ("airflow-dag-processor", ("dag-processor",), "dag_processor"),
    )
    airflow_parts = [Declaration(n, [program, *words], own, (*healthy.COMMAND, f"{monitor}#{p}"), needs) for n, words, p in parts]
    return [spark, *first, *airflow_parts, *vendors(ports, env)]


def vendors(ports: Mapping[str, int], env: Mapping[str, str]) -> list[Declaration]:
    """The vendors' APIs over the sandbox world, where this home has one."""
    if "vendors" not in ports:
        return []
    words = ["--apis", str(apis()), "--port", str(ports["vendors"]), "--connections", str(apis() / CONNECTIONS)]
    command = [sys.executable, "-m", "connectors", "sandbox", "serve", *words]
    return [Declaration("vendors", command, env, healthy=(*healthy.COMMAND, f"tcp://{HOST}:{ports['vendors']}"))]


def apis() -> Path:
    """The folder of what the sandbox's vendors serve in this home."""
    return home() / "apis"


def pools() -> dict[str, dict[str, Any]]:
    """A pool per source that is asked over HTTP, as `airflow pools import` takes them."""
    asked = [name for name in source_names() if accounts_of(name)]
    return {pool_of(name): {"slots": POOL_SLOTS, "description": f"pulls of {name} at once", "include_deferred": False} for name in asked}


def introduce(api: AirflowApi) -> None:
    """Give Airflow what its ingest DAGs need: a pool per vendor, and the connections to the sandbox's vendors where they run."""
    known = {one["name"] for one in api.call("GET", "/pools?limit=1000")["pools"]}
    for name, said in pools().items():
        if name not in known:
            api.call("POST", "/pools", {"name": name, **said}, is_repeatable=True)
    file = apis() / CONNECTIONS
    for variable, text in json.loads(file.read_text(encoding="utf-8")).items() if file.is_file() else ():
        name, said = variable.removeprefix("AIRFLOW_CONN_").lower(), json.loads(text)
        body = {"connection_id": name, "conn_type": "http", **said, "extra": json.dumps(said.get("extra", {}))}
        try:
            api.call("POST", "/connections", body)
        except AirflowError as error:
            if error.status != 409:
                raise
            api.call("PATCH", f"/connections/{name}", body)


# --- all of them ----------------------------------------------------------------------------------------------------------


def start(
    say: Callable[[str], None], schedule: bool = False, airflow: bool = True, small: bool = False, profile: str = "embedded"
) -> Services:
    """Start everything, each service when what it needs is well, and wait until all are.

    Raises ServiceError when one ends or does not answer in time; nothing is left running then.
    """
    os.umask(doors.OTHERS)
    doors.close_home()
    stop_leftovers()
    made(home())
    services = Services({}, uuid.uuid4().hex, profile)
    began = time.monotonic()
    try:
        if profile == "full":
            from spark_jobs.embedded import full

            services.ports = pick_ports(say, full.preferred_ports(), services.holding)
            note(services)
            declared = full.declarations(services.ports, base_env(services.mark), say, schedule, small)
        else:
            preferred = {**PREFERRED_PORTS, **(VENDORS_PORT if airflow and apis().is_dir() else {})}
            services.ports = pick_ports(say, preferred, services.holding)
            note(services)
            declared = embedded(services.ports, base_env(services.mark), schedule, airflow, small)
        _start(services, declared, began)
        if airflow and profile == "embedded":
            _migrated().write_text(_airflow_version(), encoding="utf-8")
        if airflow:
            introduce(AirflowApi(services.airflow_url))
        note(services, is_ready=True)
    except BaseException:
        services.stop()
        raise
    return services


def _start(services: Services, declared: Sequence[Declaration], began: float) -> None:
    started: dict[str, Service] = {}
    well: set[str] = set()
    while len(well) < len(declared):
        due = [one for one in declared if one.name not in started and well.issuperset(one.needs)]
        for one in due:
            started[one.name] = _launch(one)
            services.running.append(started[one.name])
        if due:
            note(services)
        for name, service in started.items():
            code, is_lasting = service.process.poll(), bool(service.declared.healthy)
            if code is not None and (code or is_lasting):
                raise ServiceError(f"{name} ended with code {code}; {service.log} ends with:\n{service.last_lines()}")
            if name not in well and (not ailment(service.declared.healthy) if is_lasting else code == 0):
                services.seconds[name] = time.monotonic() - began
                well.add(name)
                if not is_lasting:
                    services.running.remove(service)
        if time.monotonic() - began > START_TIMEOUT_SECONDS:
            logs = ", ".join(str(s.log) for s in services.running)
            raise ServiceError(
                f"{', '.join(one.name for one in declared if one.name not in well)} did not answer within {START_TIMEOUT_SECONDS} s; see {logs}"
            )
        time.sleep(0.2)


def ailment(command: Sequence[str]) -> str:
    """What a health check finds wrong, "" when the service is well. Our own check needs no process of its own."""
    own = len(healthy.COMMAND)
    if tuple(command[:own]) == healthy.COMMAND:
        return healthy.ailment(command[own:])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]} does not answer ({error})"
    return f"{Path(command[0]).name} says: {(done.stdout + done.stderr).strip() or done.returncode}" if done.returncode else ""


def note(services: Services, is_ready: bool = False) -> None:
    """services.json as things are now, whole or not at all."""
    me = psutil.Process()
    state = {
        "home": str(home()),
        "starter_pid": me.pid,
        "starter_created": me.create_time(),
        "mark": services.mark,
        "profile": services.profile,
        "ports": services.ports,
        "pids": {s.name: s.process.pid for s in services.running},
        "healthy": {s.name: list(s.declared.healthy) for s in services.running},
        "is_ready": is_ready,
    }
    beside = state_file().with_suffix(".tmp")
    beside.write_text(json.dumps(state, indent=2), encoding="utf-8")
    beside.replace(state_file())


def tend(services: Services, say: Callable[[str], None]) -> list[str]:
    """Start again what ended since the last look; returns the names. Raises ServiceError for what ends again and again."""
    ended = [(place, service) for place, service in enumerate(services.running) if service.process.poll() is not None]
    for place, service in ended:
        now, how = time.monotonic(), service.process.returncode
        recent = [at for at in service.restarts if now - at < RESTART_WINDOW_SECONDS]
        if len(recent) == RESTARTS:
            raise ServiceError(
                f"{service.name} ended with code {how} after {RESTARTS} restarts within {RESTART_WINDOW_SECONDS // 60} minutes; {service.log} ends with:\n"
                f"{service.last_lines()}"
            )
        # what it had started itself holds its ports and files
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(service.process.pid, signal.SIGKILL)
        say(f"{service.name} ended with code {how} and is started again; its log is {service.log}")
        services.running[place] = replace(_launch(service.declared, again=True), restarts=[*recent, now])
    if ended:
        note(services, is_ready=True)
    return [service.name for _, service in ended]


def airflow_command(state: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """(command, environment) of Airflow's own command line for the services of services.json."""
    env = base_env(state["mark"])
    if state.get("profile") == "full":
        from spark_jobs.embedded import full

        return full.airflow_command(state["ports"], env)
    return [str(BIN / "airflow")], airflow_env(state["ports"], env, schedule=False)


def ailments(state: Mapping[str, Any]) -> dict[str, str]:
    """What each service of services.json says about itself: name -> what is wrong, "" when it answers."""
    checks = state.get("healthy", {})
    return {
        name: ailment(checks.get(name, healthy.COMMAND)) if _is_alive(pid) else f"process {pid} has ended"
        for name, pid in state["pids"].items()
    }


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def running(
    say: Callable[[str], None], schedule: bool = False, airflow: bool = True, small: bool = False, profile: str = "embedded"
) -> Iterator[Services]:
    """The services for a `with` block; whatever ends the block, SIGTERM and Ctrl-C included, stops them."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    services = None
    try:
        services = start(say, schedule, airflow, small, profile)
        yield services
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        if services is not None:
            services.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
