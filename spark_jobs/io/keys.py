"""The HMAC key that people are known by: its file, its back-up, and by its fingerprint which key a lake was made with.

A lake that holds identifiers is never given a new key: all its people would be strangers to it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.settings import home, made, refuse_foreign
from conf.tables import table, table_names
from spark_jobs.errors import LostKeyError, ThroughlineError, WrongKeyError
from spark_jobs.io.given import read_given
from spark_jobs.io.small import append_rows, open_table, opened, query, read_arrow, until_first

KEY_VERSION = 1
KEY_BYTES = 32
RECORD = "ops.keys"
# of a key's file
MOST_BYTES = 10_000
# no identifier's message has this form: theirs hold a unit separator
FINGERPRINTED = b"throughline: fingerprint of an identifier key"


def key_file() -> Path:
    """Where the HMAC key is kept, owner-only (THROUGHLINE_KEY_FILE, else inside the home)."""
    return Path(os.environ.get("THROUGHLINE_KEY_FILE") or home() / "vault" / "hmac_key.json")


def fingerprint(key: bytes) -> str:
    """16 hex digits that tell one key from another."""
    return hmac.new(key, FINGERPRINTED, hashlib.sha256).hexdigest()[:16]


def read_key(path: Path) -> bytes:
    """The key in a key file or a back-up. Raises ThroughlineError when it holds none, or not the one whose fingerprint stands beside it."""
    try:
        found = json.loads(read_given(path, MOST_BYTES))
        key = bytes.fromhex(found["key"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ThroughlineError(
            f"{path}: not a key file; restore it from its back-up: `python -m spark_jobs vault restore FILE --replace`"
        ) from None
    if len(key) != KEY_BYTES or found.get("fingerprint", fingerprint(key)) != fingerprint(key):
        raise ThroughlineError(f"{path}: the key in it is damaged: it has {len(key)} bytes and the fingerprint {fingerprint(key)}")
    return key


def write_key(path: Path, key: bytes) -> bool:
    """The key into a file that only its owner may read, whole or not at all; False when the file is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = json.dumps({"key_version": KEY_VERSION, "key": key.hex(), "fingerprint": fingerprint(key)})
    own = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.link(own, path)
    except FileExistsError:
        return False
    finally:
        own.unlink(missing_ok=True)
    return True


def lake_key(lake: Path | str) -> bytes:
    """The key for this lake, made with the lake's first identifiers; its fingerprint is noted in ops.keys.

    Raises LostKeyError when the file is gone and the lake holds identifiers, WrongKeyError when the file holds another key than the lake's.
    """
    path = key_file()
    if not path.exists():
        refuse_lost(lake, path)
        made(path.parent)
        if write_key(path, secrets.token_bytes(KEY_BYTES)):
            print(
                f"A new identifier key is in {path}. Keep a copy (`python -m spark_jobs vault backup FILE`): losing it orphans every person."
            )
    refuse_foreign(path)
    key = read_key(path)
    refuse_wrong(lake, path, key)
    if recorded(lake) is None:
        until_first(lambda: record(lake, key))
    return key


def refuse_lost(lake: Path | str, path: Path) -> None:
    """Raises LostKeyError when the lake was made with a key."""
    if (noted := recorded(lake)) or holds_identifiers(lake):
        raise LostKeyError(
            f"{path}: the identifier key of {lake} is lost{f' (fingerprint {noted})' if noted else ''}. With a new one all people would be "
            "strangers, so none is made: put the back-up in place with `python -m spark_jobs vault restore FILE`"
        )


def refuse_wrong(lake: Path | str, path: Path, key: bytes) -> None:
    """Raises WrongKeyError when the lake was made with another key."""
    if is_key_of(lake, key) is False:
        raise WrongKeyError(
            f"{path} holds the key {fingerprint(key)}, but {lake} was made with {recorded(lake) or 'another one'}: put that one's back-up in place "
            "with `python -m spark_jobs vault restore FILE --replace`"
        )


def record(lake: Path | str, key: bytes) -> None:
    """Note the key's fingerprint, unless one is noted. Raises OvertakenError when another process was quicker."""
    noted = opened(lake, table(RECORD))
    if recorded(lake) is None:
        append_rows(noted, table(RECORD), [(KEY_VERSION, fingerprint(key), dt.datetime.now(dt.UTC))], unless_overtaken=True)


def recorded(lake: Path | str) -> str | None:
    """The fingerprint of the key that the lake was made with, None when none is noted."""
    rows = [row for row in read_arrow(lake, RECORD).to_pylist() if row["key_version"] == KEY_VERSION]
    return min(rows, key=lambda row: row["first_used_at"])["fingerprint"] if rows else None


def is_key_of(lake: Path | str, key: bytes) -> bool | None:
    """Whether the lake was made with this key, by all that tells it: the noted fingerprint, the stored pads, and where there is neither, one
    identifier made again. None when nothing does."""
    noted, told = recorded(lake), []
    if noted is not None:
        told.append(noted == fingerprint(key))
    if row := first_row(lake, "vault.hmac_keys", "inner_pad"):
        told.append(bytes(b ^ 0x36 for b in row["inner_pad"])[: len(key)] == key)
    if not told and (row := first_row(lake, "vault.identifiers", "identifier_key, namespace, value")):
        message = f"{row['namespace']}\x1f{row['value']}".encode()
        told.append(hmac.new(key, message, hashlib.sha256).hexdigest()[:32] == row["identifier_key"])
    return all(told) if told else None


def first_row(lake: Path | str, name: str, columns: str) -> dict[str, Any] | None:
    """A row of the table's that this version of the key made."""
    found = open_table(lake, name)
    rows = query(found, f"select {columns} from rows where key_version = {KEY_VERSION} limit 1").to_pylist() if found is not None else []
    return rows[0] if rows else None


def holds_identifiers(lake: Path | str) -> bool:
    """Whether any table has rows that name people by the key."""
    names = [name for name in table_names() if any("identifier" in column for column in table(name).column_names)]
    return any((found := open_table(lake, name)) is not None and found.file_uris() for name in ("vault.hmac_keys", *names))


@dataclass(frozen=True)
class KeyState:
    """How the key is: in words, and what to do, "" when it is right."""

    seen: str
    fix: str = ""


def key_state(lake: Path | str) -> KeyState:
    """Whether the key file is there and is the lake's; reads, and makes nothing."""
    path = key_file()
    try:
        if not path.exists():
            refuse_lost(lake, path)
            return KeyState("none yet; the first build makes one")
        key = read_key(path)
        refuse_wrong(lake, path, key)
    except ThroughlineError as error:
        return KeyState({LostKeyError: "lost", WrongKeyError: "another one than the lake's"}.get(type(error), "unreadable"), str(error))
    if path.stat().st_mode & 0o077:
        return KeyState(f"{fingerprint(key)}, readable by others", f"`chmod 600 {path}`")
    return KeyState(fingerprint(key))


def backup(lake: Path | str, copy: Path) -> str:
    """Copy the key to a new file that only its owner may read; returns its fingerprint. Raises ThroughlineError when there is no key, it is not
    the lake's, or the copy would replace a file."""
    path = key_file()
    if not path.exists():
        refuse_lost(lake, path)
        raise ThroughlineError(f"{path}: there is no key yet; the first build of a table that names people makes one")
    refuse_foreign(path)
    key = read_key(path)
    refuse_wrong(lake, path, key)
    if not write_key(copy, key) or read_key(copy) != key:
        raise ThroughlineError(f"{copy} is there already and is left as it is: name a new file")
    return fingerprint(key)


def restore(lake: Path | str, copy: Path, may_replace: bool = False) -> str:
    """Put a back-up in the key file's place; returns its fingerprint. A key that it replaces is kept beside it.

    Raises WrongKeyError when the lake was made with another key, ThroughlineError when a different key is there and may not be replaced.
    """
    path, key = key_file(), read_key(copy)
    refuse_wrong(lake, copy, key)
    made(path.parent)
    if not write_key(path, key):
        try:
            there = fingerprint(read_key(path))
        except ThroughlineError:
            there = "unreadable"
        if there != fingerprint(key):
            if not may_replace:
                raise ThroughlineError(
                    f"{path} holds another key ({there}): with --replace it is kept beside as {path.name}.{there}, and {copy} takes its place"
                )
            os.replace(path, path.with_name(f"{path.name}.{there}"))
            write_key(path, key)
    path.chmod(0o600)
    return fingerprint(key)
