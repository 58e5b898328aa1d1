"""The doors of this home's services and their secrets: each secret is made once and stands in a file that its owner alone reads."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from conf.settings import OWN_MARK, home, made, refuse_foreign

CONNECT_TOKEN = Path("spark", "connect_token")
JDBC_PASSWORD = Path("spark", "jdbc_password")
AIRFLOW_PASSWORDS = Path("airflow", "passwords.json")
JDBC_USER, AIRFLOW_USER = "reader", "admin"
# with this as umask nobody but the owner may do anything with what is made
OTHERS = 0o077
# what tells a folder of the product's from one that merely has its name
SIGNS = {
    "lake": ("*/*/_delta_log",),
    "landing": ("*/*/*/*/*/manifest.json",),
    "airflow": ("secrets.json", "airflow.db"),
    "spark": ("conf/log4j2.properties",),
    "logs": ("spark.log",),
    "drops": ("truth", "sandbox_*"),
    "vault": ("hmac_key.json",),
}


def secret(name: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
    """What stands in the file, a path below the home; made where it is not there yet, whole or not at all."""
    path = home() / name
    if not path.exists():
        beside = made(path.parent) / f".{path.name}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(make())
        # another process may have been first
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)
        beside.unlink()
    refuse_foreign(path)
    return path.read_text(encoding="utf-8")


def connect_token() -> str:
    """The token that a Spark Connect client sends: SPARK_CONNECT_AUTHENTICATE_TOKEN, else that of this home's server; "" when there is none."""
    file = home() / CONNECT_TOKEN
    refuse_foreign(file)
    return os.environ.get("SPARK_CONNECT_AUTHENTICATE_TOKEN") or (file.read_text(encoding="utf-8") if file.is_file() else "")


def new_airflow_passwords() -> str:
    """A password for AIRFLOW_USER, in the form that Airflow's simple auth manager reads."""
    return json.dumps({AIRFLOW_USER: secrets.token_urlsafe(16)})


def airflow_password() -> str:
    """The password of AIRFLOW_USER."""
    made_once = secret(AIRFLOW_PASSWORDS, new_airflow_passwords)
    return str(json.loads(made_once)[AIRFLOW_USER])


def is_foreign(port: int) -> bool:
    """Whether another user listens on this port of this machine: what ended may have left its port to somebody who waits for the secret."""
    owners = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as lines:
            # local address, state (0A: listening) and user of each socket
            sockets = [(words[1], words[3], words[7]) for words in map(str.split, list(lines)[1:])]
            owners |= {int(user) for local, state, user in sockets if state == "0A" and int(local.split(":")[1], 16) == port}
    return bool(owners - {os.getuid(), 0})


def close_home() -> None:
    """Take from everybody but the owner what an earlier release left open: the folders below the home that the product made."""
    for name, signs in SIGNS.items():
        folder = home() / name
        if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid() or not folder.stat().st_mode & OTHERS:
            continue
        if any(next(folder.glob(sign), None) for sign in (OWN_MARK, *signs)):
            folder.chmod(0o700)
