"""The full profile: the services of docker/compose.yml as processes of this machine, by the same commands.

What a container engine gives its containers, a process here has otherwise: a name on the network is 127.0.0.1 (THROUGHLINE_…_HOST), a port is one
that is free (THROUGHLINE_…_PORT), a volume is a folder of the home, a mounted secret is the file itself, the image's folder is this repository.
PostgreSQL's image makes its database at the first start; here that is `make_database`. Limits and networks are the container engine's alone.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from conf import doors
from conf.settings import REPOSITORY, home, made, read_yaml
from spark_jobs.embedded.declaration import BIN, HOST, Declaration, ServiceError, env_file, here

COMPOSE = REPOSITORY / "docker" / "compose.yml"
ENTRYPOINT = REPOSITORY / "docker" / "with-secrets"
# $$, ${NAME:-default} and ${NAME-default}: what compose.yml uses of the format's variables
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<unset>:?-)(?P<default>[^}]*))?\})")
PORT = re.compile(r"\$\{THROUGHLINE_(\w+)_PORT:-(\d+)\}")
# where Debian has a server's programs: not in PATH
POSTGRES_FOLDERS = "/usr/lib/postgresql/*/bin"
# what a secret is where it is not just a text that nobody can guess
MAKERS: Mapping[str, Callable[[], str]] = {
    "airflow_passwords": doors.new_airflow_passwords,
    "airflow_jwt_key": lambda: secrets.token_hex(64),
    "airflow_fernet_key": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "object_store_key_id": lambda: secrets.token_hex(10),
}


def texts(value: Any) -> Iterator[str]:
    """Every text of a YAML value."""
    if isinstance(value, Mapping):
        yield from (text for one in value.values() for text in texts(one))
    elif isinstance(value, tuple):
        yield from (text for one in value for text in texts(one))
    elif value is not None:
        yield str(value)


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables' values, or their defaults, as docker compose fills it."""

    def value(found: re.Match[str]) -> str:
        if found["name"] is None:
            return "$"
        given = values.get(found["name"])
        is_default = given is None or (found["unset"] == ":-" and not given)
        return (found["default"] or "") if is_default else str(given)

    return VARIABLE.sub(value, text)


def services_here(say: Callable[[str], None] = lambda _: None) -> dict[str, Mapping[str, Any]]:
    """compose.yml's services that can run on this machine. Those on demand (`profiles`) are left out where their program is not here, which is said."""
    found = dict(read_yaml(COMPOSE)["services"])
    for name in [name for name, service in found.items() if service.get("profiles")]:
        program = {"object-store": "versitygw"}.get(name, found[name]["command"][0])
        if not shutil.which(program):
            del found[name]
            say(f"{name} is not started: it is in docker/compose.yml, and its program ({program}) is not on this machine.")
    return found


def preferred_ports() -> dict[str, int]:
    """The ports of the services that run here, by name, as compose.yml has them."""
    return {name.lower(): int(port) for text in texts(services_here()) for name, port in PORT.findall(text)}


def secret_files(root: Path) -> dict[str, Path]:
    """compose.yml's secrets: name -> file, below root."""
    values = {"THROUGHLINE_SECRETS": str(root)}
    return {name: Path(filled(secret["file"], values)) for name, secret in read_yaml(COMPOSE)["secrets"].items()}


def make_secrets(folder: Path) -> None:
    """Each secret of compose.yml once. The folder is its owner's alone; the files in it can be read by the container that one is mounted into,
    whatever its user's number is."""
    folder = folder.resolve()
    os.environ["THROUGHLINE_HOME"] = str(folder)
    made(folder).chmod(0o700)
    for name, path in secret_files(folder).items():
        _make_secret(name, path)
        path.chmod(0o444)
    print(
        f"{len(secret_files(folder))} secrets are in {folder}; Airflow's user is {doors.AIRFLOW_USER}, the password in airflow/passwords.json"
    )


def _make_secret(name: str, path: Path) -> None:
    made(home() / path.relative_to(home()).parts[0])
    doors.secret(path.relative_to(home()), *([MAKERS[name]] if name in MAKERS else []))


def declarations(
    ports: Mapping[str, int], env: Mapping[str, str], say: Callable[[str], None], schedule: bool = False, small: bool = False
) -> list[Declaration]:
    """compose.yml's services as processes of this machine; their folders, secrets and PostgreSQL's database are made. schedule: whether due days start
    by themselves; small: for few rows.

    Raises ServiceError naming what to install where PostgreSQL is not here.
    """
    files = secret_files(home())
    for name, path in files.items():
        _make_secret(name, path)
    found, volumes = services_here(say), read_yaml(COMPOSE)["volumes"]
    values = {
        **os.environ,
        **{f"THROUGHLINE_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        **dict.fromkeys(re.findall(r"\$\{(THROUGHLINE_\w+_HOST):-", " ".join(texts(found))), HOST),
        "THROUGHLINE_SCHEDULE": str(schedule),
        "THROUGHLINE_SMALL": "1" if small else "",
        # a path to a socket has a hundred letters at most; nobody needs one
        "THROUGHLINE_POSTGRES_SOCKETS": "",
    }
    declared = []
    for name, service in found.items():
        mounted = {f"/run/secrets/{one}": str(path) for one, path in files.items()}
        for volume in service.get("volumes", ()):
            source, target = volume.split(":")[:2] if isinstance(volume, str) else (volume["source"], volume["target"])
            if source in volumes:
                mounted[target] = str(home() if source == "throughline" else made(home() / source))

        def placed(text: object, mounted: Mapping[str, str] = mounted) -> str:
            return here(filled(str(text), values), mounted)

        own = {key: value for path in service.get("env_file", ()) for key, value in env_file(COMPOSE.parent / path).items()}
        own |= {key: placed(value) for key, value in service.get("environment", {}).items()}
        # the image's entrypoint: what has no image of its own has it said
        words = [str(ENTRYPOINT)] if "build" in service or "entrypoint" in service else []
        check = service["healthcheck"].get("test", ("CMD",))[1:]
        declared.append(
            Declaration(
                name,
                [*words, *map(placed, service["command"])],
                {**env, **own},
                healthy=[*map(placed, check)],
                needs=[need for need in service.get("depends_on", ()) if need in found],
                stop_signal=signal.Signals[service.get("stop_signal", "SIGTERM")],
            )
        )
    return [as_postgres(one) if one.name == "postgres" else one for one in declared]


def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs. Raises ServiceError naming what to install."""
    found = shutil.which("postgres") or max(Path("/").glob(f"{POSTGRES_FOLDERS[1:]}/postgres"), key=version, default=None)
    if not found:
        raise ServiceError(
            "PostgreSQL is not on this machine, and the full profile needs it: install it (Debian: apt-get install postgresql-15)"
        )
    return Path(found).resolve().parent


def as_postgres(declared: Declaration) -> Declaration:
    """PostgreSQL with its programs found and its database made. It refuses to run as root: root runs it as the user that its package made, who may
    enter the home."""
    folder = postgres_programs()
    owner: list[str] = []
    if os.geteuid() == 0:
        owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--inh-caps=-all,+dac_override"]
        owner += ["--ambient-caps=-all,+dac_override", f"--pdeathsig={declared.stop_signal.name.removeprefix('SIG')}", "--"]
    make_database(folder, owner, declared.environment)
    return replace(
        declared,
        command=[*owner, str(folder / declared.command[0]), *declared.command[1:]],
        healthy=[str(folder / declared.healthy[0]), *declared.healthy[1:]],
    )


def version(program: Path) -> float:
    """The version in /usr/lib/postgresql/VERSION/bin/postgres."""
    return float(program.parts[-3]) if re.fullmatch(r"[\d.]+", program.parts[-3]) else 0


def make_database(programs: Path, owner: list[str], env: Mapping[str, str]) -> None:
    """What PostgreSQL's image does at its first start: a cluster whose user has a password, and a database. Whole or not at all."""
    data = Path(env["PGDATA"])
    if (data / "PG_VERSION").is_file():
        return
    beside = data.with_name(f"{data.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    init = ["initdb", "--pgdata", str(beside), "--username", env["POSTGRES_USER"], "--pwfile", env["POSTGRES_PASSWORD_FILE"]]
    init += ["--auth-local=scram-sha-256", *env["POSTGRES_INITDB_ARGS"].split()]
    create = ["postgres", "--single", "-D", str(beside), "-c", "unix_socket_directories=", "postgres"]
    for words, said in ((init, ""), (create, f"CREATE DATABASE {env['POSTGRES_DB']}\n")):
        done = subprocess.run(
            [*owner, str(programs / words[0]), *words[1:]], input=said, env=dict(env), cwd="/", capture_output=True, text=True
        )
        if done.returncode or (said and "ERROR" in done.stderr):
            raise ServiceError(f"PostgreSQL's database could not be made: {(done.stderr or done.stdout)[-1000:]}")
    beside.rename(data)


def airflow_command(ports: Mapping[str, int], env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """(command, environment) of Airflow's own command line for the full profile's services."""
    (one,) = [d for d in declarations(ports, env, lambda _: None) if d.name == "airflow-scheduler"]
    return [str(ENTRYPOINT), str(BIN / "airflow")], dict(one.environment)
