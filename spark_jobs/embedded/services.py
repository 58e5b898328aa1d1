"""The embedded services: Airflow (three processes on SQLite) and ONE JVM that serves Spark Connect and JDBC, all on 127.0.0.1, each behind a
secret of its own (conf/doors.py). Secrets are in files and in the environment of this user's processes, never on a command line.

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
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from conf import doors
from conf.settings import REPOSITORY, home, made, platform, spark_confs
from conf.tables import table_names
from spark_jobs.embedded import jars
from spark_jobs.errors import ThroughlineError

HOST = "127.0.0.1"
PREFERRED_PORTS = {"airflow": 8080, "connect": 15002, "jdbc": 10000}
PORTS_OF = {"spark": ("connect", "jdbc"), "airflow-api-server": ("airflow",)}
START_TIMEOUT_SECONDS = 180
RESTARTS, RESTART_WINDOW_SECONDS = 3, 600
STOP_TIMEOUT_SECONDS = 10
# set in every process that belongs to one start, so that none is missed when they are stopped
MARK = "THROUGHLINE_SERVICES_ID"
BIN = Path(sys.prefix, "bin")


class ServiceError(ThroughlineError):
    """A service did not start; the message names its log and shows its end."""


@dataclass
class Service:
    """One running process group."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    restarts: list[float] = field(default_factory=list)

    def last_lines(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


@dataclass
class Services:
    """What runs: ports by name and the processes; `stop` ends all of them."""

    ports: Mapping[str, int]
    mark: str
    running: list[Service] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

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
                os.killpg(service.process.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(ours, timeout=STOP_TIMEOUT_SECONDS)
        for process in {*alive, *_processes_of(self.mark, [])}:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=STOP_TIMEOUT_SECONDS)
        for service in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.process.wait(timeout=STOP_TIMEOUT_SECONDS)
        self.running.clear()
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


def pick_ports(say: Callable[[str], None]) -> dict[str, int]:
    """The preferred ports, or the next free ones, which is said."""
    chosen: dict[str, int] = {}
    for name, wanted in PREFERRED_PORTS.items():
        free = (port for port in range(wanted, wanted + 200) if port not in chosen.values() and is_free(port))
        chosen[name] = next(free)
        if chosen[name] != wanted:
            say(f"Port {wanted} is taken: {name} listens on {chosen[name]} instead.")
    return chosen


def _die_with_parent() -> None:
    """Linux: the kernel sends SIGTERM to this process when its starter dies, however it dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _launch(name: str, command: Sequence[str], env: Mapping[str, str], again: bool = False) -> Service:
    """again: a service that ended is started once more, and its log goes on."""
    log = made(home() / "logs") / f"{name}.log"
    with log.open("ab" if again else "wb") as out:
        process = subprocess.Popen(
            command,
            cwd=home(),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=doors.OTHERS,
            preexec_fn=_die_with_parent,
        )
    return Service(name, process, log, command, env)


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


# --- Spark ----------------------------------------------------------------------------------------------------------------


def spark_command(ports: Mapping[str, int], small: bool = False) -> list[str]:
    """spark-submit of Server.java, JDBC beside the Connect plugin: one JVM, which is also the only writer of the local lake."""
    state = home() / "spark"
    listed = [str(jar.path) for jar in jars.locked()]
    gold = [name.removeprefix("gold.") for name in table_names() if name.startswith("gold.")]
    chosen = spark_confs("session", "local", "server", *(["small"] if small else []))
    # a server without memory answers nobody and looks alive: it ends, is started again, and jobs try again
    java = f'"-Djava.io.tmpdir={state}/tmp" "-Dderby.system.home={state}/tmp" -Duser.timezone=UTC -XX:+ExitOnOutOfMemoryError'
    chosen |= {
        "spark.connect.grpc.binding.port": str(ports["connect"]),
        "spark.hadoop.hive.server2.thrift.port": str(ports["jdbc"]),
        "spark.sql.warehouse.dir": str(state / "warehouse"),
        "spark.local.dir": str(state / "tmp"),
        "spark.driver.extraJavaOptions": f"{java} {chosen['spark.driver.extraJavaOptions']}",
    }
    command = [str(BIN / "spark-submit"), "--class", "throughline.Server"]
    command += [
        "--master",
        f"local[{max(2, os.cpu_count() or 2)}]",
        "--name",
        "throughline",
        "--driver-memory",
        platform().spark_driver_memory,
    ]
    # in --jars alone, JDBC sessions do not find Delta's catalog class
    command += ["--jars", ",".join(listed), "--driver-class-path", os.pathsep.join([*listed, str(jars.classes())])]
    for key, value in sorted(chosen.items()):
        command += ["--conf", f"{key}={value}"]
    return [*command, "spark-internal", f"{platform().lake}/gold", *gold]


def start_spark(ports: Mapping[str, int], env: Mapping[str, str], small: bool = False) -> Service:
    state = made(home() / "spark")
    for folder in ("tmp", "warehouse", "conf"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "conf" / "log4j2.properties").write_text(
        "rootLogger.level = warn\nrootLogger.appenderRef.console.ref = console\nappender.console.type = Console\nappender.console.name = console\n"
        "appender.console.target = SYSTEM_ERR\nappender.console.layout.type = PatternLayout\n"
        "appender.console.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n%ex\n",
        encoding="utf-8",
    )
    own = {"SPARK_LOCAL_IP": HOST, "SPARK_CONF_DIR": str(state / "conf"), "PYSPARK_PYTHON": sys.executable, "SPARK_NO_DAEMONIZE": "1"}
    jars.compile_server()
    doors.secret(doors.JDBC_PASSWORD)
    own |= {
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": doors.secret(doors.CONNECT_TOKEN),
        "THROUGHLINE_JDBC_USER": doors.JDBC_USER,
        "THROUGHLINE_JDBC_PASSWORD_FILE": str(home() / doors.JDBC_PASSWORD),
    }
    return _launch("spark", spark_command(ports, small), {**env, **own})


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


# --- Airflow --------------------------------------------------------------------------------------------------------------


def _new_airflow_keys() -> str:
    """What Airflow's processes prove themselves to each other with."""
    return json.dumps({"jwt": secrets.token_hex(64), "api": secrets.token_hex(32)})


def airflow_env(ports: Mapping[str, int], env: Mapping[str, str], schedule: bool) -> dict[str, str]:
    """Airflow's settings as environment variables; schedule: whether due days start by themselves."""
    root, keys = home() / "airflow", json.loads(doors.secret(Path("airflow", "secrets.json"), _new_airflow_keys))
    doors.airflow_password()
    bundle = {
        "name": "throughline",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(REPOSITORY), "refresh_interval": 60},
    }
    url = f"http://{HOST}:{ports['airflow']}"
    settings = {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "CORE__PLUGINS_FOLDER": str(REPOSITORY / "dags" / "plugins"),
        "CORE__PARALLELISM": "4",
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": "4",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{doors.AIRFLOW_USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home() / doors.AIRFLOW_PASSWORDS),
        "CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{root / 'airflow.db'}",
        "API__HOST": HOST,
        "API__PORT": str(ports["airflow"]),
        "API__WORKERS": "1",
        "API__BASE_URL": url,
        "API__SECRET_KEY": keys["api"],
        "API__EXPOSE_CONFIG": "False",
        "API_AUTH__JWT_SECRET": keys["jwt"],
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "DAG_PROCESSOR__PARSING_PROCESSES": "2",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
        "DAG_PROCESSOR__DISABLE_BUNDLE_VERSIONING": "True",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
        "SCHEDULER__USE_JOB_SCHEDULE": str(schedule),
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        "LOGGING__BASE_LOG_FOLDER": str(root / "logs"),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    paths = {"AIRFLOW_HOME": str(root), "THROUGHLINE_SPARK_REMOTE": f"sc://{HOST}:{ports['connect']}", "THROUGHLINE_EMBEDDED": "1"}
    return {**env, **paths, **{f"AIRFLOW__{k}": v for k, v in settings.items()}}


def _migrate(env: Mapping[str, str]) -> bool:
    """The metadata database of this Airflow version, made or brought up to date once; whether it was now."""
    root, version = home() / "airflow", importlib.metadata.version("apache-airflow")
    stamp = root / "migrated"
    if stamp.is_file() and (root / "airflow.db").is_file() and stamp.read_text(encoding="utf-8") == version:
        return False
    made(root)
    service = _launch("airflow-migrate", [str(BIN / "airflow"), "db", "migrate"], env)
    if service.process.wait(timeout=START_TIMEOUT_SECONDS):
        raise ServiceError(f"Airflow's database could not be prepared; {service.log} ends with:\n{service.last_lines()}")
    stamp.write_text(version, encoding="utf-8")
    return True


def start_airflow(ports: Mapping[str, int], env: Mapping[str, str]) -> list[Service]:
    airflow = str(BIN / "airflow")
    api = [airflow, "api-server", "--host", HOST, "--port", str(ports["airflow"]), "--workers", "1"]
    return [
        _launch("airflow-api-server", api, env),
        _launch("airflow-scheduler", [airflow, "scheduler", "--skip-serve-logs"], env),
        _launch("airflow-dag-processor", [airflow, "dag-processor"], env),
    ]


def get_json(url: str) -> Any:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
        return json.load(answer)


def _airflow_health(url: str) -> dict[str, str]:
    """The state of each part of Airflow by its own word; nothing when it does not answer."""
    try:
        return {part: said["status"] for part, said in get_json(f"{url}/api/v2/monitor/health").items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _airflow_is_healthy(url: str) -> bool:
    health = _airflow_health(url)
    return all(health.get(part) == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))


# --- all of them ----------------------------------------------------------------------------------------------------------


def start(say: Callable[[str], None], schedule: bool = False, airflow: bool = True, small: bool = False) -> Services:
    """Start everything side by side and wait until it is healthy.

    Raises ServiceError when one ends or does not answer in time; nothing is left running then.
    """
    os.umask(doors.OTHERS)
    doors.close_home()
    stop_leftovers()
    mark = uuid.uuid4().hex
    services = Services(pick_ports(say), mark)
    made(home())
    began = time.monotonic()
    try:
        env = base_env(mark)
        note(services)
        services.running.append(start_spark(services.ports, env, small))
        checks: dict[str, Callable[[], bool]] = {"spark": lambda: all(is_listening(services.ports[p]) for p in ("connect", "jdbc"))}
        if airflow:
            own = airflow_env(services.ports, env, schedule)
            if _migrate(own):
                services.seconds["its database"] = time.monotonic() - began
            services.running += start_airflow(services.ports, own)
            checks["airflow"] = lambda: _airflow_is_healthy(services.airflow_url)
        note(services)
        _wait(services, checks, began)
        note(services, is_ready=True)
    except BaseException:
        services.stop()
        raise
    return services


def _wait(services: Services, checks: dict[str, Callable[[], bool]], began: float) -> None:
    while checks:
        for name in [n for n, is_up in checks.items() if is_up()]:
            services.seconds[name] = time.monotonic() - began
            del checks[name]
        for service in services.running:
            if service.process.poll() is not None:
                raise ServiceError(
                    f"{service.name} ended with code {service.process.returncode}; {service.log} ends with:\n{service.last_lines()}"
                )
        if time.monotonic() - began > START_TIMEOUT_SECONDS:
            logs = ", ".join(str(s.log) for s in services.running)
            raise ServiceError(f"{', '.join(checks)} did not answer within {START_TIMEOUT_SECONDS} s; see {logs}")
        time.sleep(0.2)


def note(services: Services, is_ready: bool = False) -> None:
    """services.json as things are now, whole or not at all."""
    me = psutil.Process()
    state = {
        "home": str(home()),
        "starter_pid": me.pid,
        "starter_created": me.create_time(),
        "mark": services.mark,
        "ports": services.ports,
        "pids": {s.name: s.process.pid for s in services.running},
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
        services.running[place] = replace(_launch(service.name, service.command, service.env, again=True), restarts=[*recent, now])
    if ended:
        note(services, is_ready=True)
    return [service.name for _, service in ended]


def ailments(state: Mapping[str, Any]) -> dict[str, str]:
    """What each service of services.json says about itself: name -> what is wrong, "" when it answers."""
    found = {}
    for name, pid in state["pids"].items():
        silent = [str(port) for kind in PORTS_OF.get(name, ()) if not is_listening(port := state["ports"][kind])]
        found[name] = f"process {pid} has ended" if not _is_alive(pid) else f"nothing answers on port {', '.join(silent)}" if silent else ""
    if found.get("airflow-api-server") == "":
        health = _airflow_health(f"http://{HOST}:{state['ports']['airflow']}")
        for name, part in (("airflow-scheduler", "scheduler"), ("airflow-dag-processor", "dag_processor")):
            if not found.get(name) and health.get(part) != "healthy":
                found[name] = f"Airflow says that it is {health.get(part) or 'not there'}"
    return found


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def running(say: Callable[[str], None], schedule: bool = False, airflow: bool = True, small: bool = False) -> Iterator[Services]:
    """The services for a `with` block; whatever ends the block, SIGTERM and Ctrl-C included, stops them."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    services = None
    try:
        services = start(say, schedule, airflow, small)
        yield services
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        if services is not None:
            services.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
