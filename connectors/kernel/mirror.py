"""Files at an address that fsspec knows (s3, gs, sftp, https …), brought into a folder of this home before they are looked at as drops.

A file is fetched when it is new or its size, time or tag changed, under a name that no reader looks at until it is whole; one that is gone there
goes here too. What was fetched last stands in .mirror.json beside the files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conf.printing import shown
from conf.settings import home
from connectors.kernel.auth import SECRET, credentials_of, redacted
from connectors.kernel.connector import Say
from connectors.kernel.errors import ConnectorError, CredentialsError, StreamDeclarationError, TemporaryError
from connectors.kernel.landing import write_durably
from connectors.kernel.patterns import as_regex

# the address's scheme, and the package that knows it where it is not fsspec's own
SCHEMES: Mapping[str, str] = {"s3": "s3fs", "gs": "gcsfs", "sftp": "paramiko", "https": "aiohttp", "http": "aiohttp"}
# how a connection's login and password are called by a file system
NAMES: Mapping[str, tuple[str, str]] = {"s3": ("key", "secret"), "sftp": ("username", "password")}
KEPT = ".mirror.json"
# what of a listing says that a file is another one
TOLD = ("size", "ETag", "etag", "md5Hash", "LastModified", "mtime", "updated", "created", "last_modified")
LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1)(:\d+)?(/|$)")


def is_address(root: object) -> bool:
    """Whether a root is an address, and no folder of this machine."""
    return isinstance(root, str) and "://" in root


def checked(root: str, where: str) -> str:
    """An address that can be read. Raises StreamDeclarationError naming the schemes there are."""
    scheme = root.partition("://")[0]
    if scheme not in SCHEMES or (scheme == "http" and not LOOPBACK.match(root)) or "@" in root.partition("://")[2].partition("/")[0]:
        allowed = [f"{one}://" for one in SCHEMES if one != "http"]
        raise StreamDeclarationError(
            f"{where}: root is {shown(root)}; an address begins with one of {allowed}, and names no user or password"
        )
    return root.rstrip("/")


def folder_of(source: str, stream: str) -> Path:
    """Where a stream's files are brought to."""
    return home() / "mirror" / source / stream


def bring(root: str, secret: str, patterns: Sequence[str], folder: Path, say: Say) -> int:
    """Make the folder hold what there is at the address of the patterns; returns how many files were fetched.

    secret: the connection whose login, password and extra the file system gets, "" for none.
    Raises CredentialsError, TemporaryError or ConnectorError, each saying what to do.
    """
    with _asked(root, secret) as options:
        system, base, found = _listed(root, options, patterns)
        folder.mkdir(parents=True, exist_ok=True)
        return _fetched(system, base, found, folder, say)


def names(root: str, secret: str, patterns: Sequence[str]) -> list[str]:
    """The files at an address that one of the patterns fits, relative to it, sorted; nothing is fetched. Raises as bring() does."""
    with _asked(root, secret) as options:
        return sorted(_listed(root, options, patterns)[2])


@contextmanager
def _asked(root: str, secret: str) -> Iterator[dict[str, Any]]:
    """A block that asks an address, with the options of its file system; whatever it raises says what to do."""
    options = _options(root.partition("://")[0], secret)
    try:
        yield options
    except ConnectorError:
        raise
    except ImportError as error:
        package = SCHEMES[root.partition("://")[0]]
        raise ConnectorError(f"{root}: needs the package {package} ({error}); install it with pip") from None
    except PermissionError as error:
        who = secret or "that it needs: it names no secret"
        raise CredentialsError(_said(f"{root}: the files cannot be read ({error}); look at the connection {who}", options)) from None
    except FileNotFoundError:
        raise ConnectorError(f"{root}: is not there; look at the stream's root") from None
    except OSError as error:
        raise TemporaryError(_said(f"{root}: does not answer ({type(error).__name__}: {error}); try again later", options)) from None
    # every package has errors of its own, and their texts may hold anything
    except Exception as error:
        told = f"{root}: cannot be read ({type(error).__name__}: {error}); look at the address and its connection"
        raise ConnectorError(_said(told, options)) from None


def _listed(root: str, options: Mapping[str, Any], patterns: Sequence[str]) -> tuple[Any, str, dict[str, Mapping[str, Any]]]:
    """The file system, the folder's path in it, and by relative path what it says of each file that is meant."""
    import fsspec  # type: ignore[import-untyped]  # only where an address is read

    # sftp's host is in the address, its port may be an option
    system, base = fsspec.core.url_to_fs(root, **options)
    system.invalidate_cache()
    # find() takes a server that is away, and a folder that is not there, for one without files
    system.ls(base)
    exact = [re.compile(as_regex(pattern)) for pattern in patterns]
    every = {_below(path, base): info for path, info in system.find(base, detail=True).items()}
    return system, base, {n: one for n, one in every.items() if not n.endswith(".tmp") and any(e.fullmatch(n) for e in exact)}


def _fetched(system: Any, base: str, found: Mapping[str, Mapping[str, Any]], folder: Path, say: Say) -> int:
    kept = folder / KEPT
    before: dict[str, Any] = json.loads(kept.read_bytes()) if kept.is_file() else {}
    now = {name: {key: str(info[key]) for key in TOLD if info.get(key) is not None} for name, info in found.items()}
    number = 0
    for name in sorted(set(before) - set(now)):
        (folder / name).unlink(missing_ok=True)
    for name, told in sorted(now.items()):
        path = folder / name
        if before.get(name) == told and path.is_file() and _is_told(told):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        system.get_file(found[name]["name"], str(temporary))
        with temporary.open("rb") as whole:
            os.fsync(whole.fileno())
        if (size := found[name].get("size")) is not None and temporary.stat().st_size != size:
            temporary.unlink()
            raise TemporaryError(f"{base}/{name}: changed while it was fetched; try again when it is whole")
        temporary.rename(path)
        number += 1
        # what was fetched is known, whatever comes next
        write_durably(kept, json.dumps({**{k: v for k, v in before.items() if k in now}, **{k: now[k] for k in now if k <= name}}).encode())
    write_durably(kept, json.dumps(now).encode())
    if number:
        say(f"{base}: {number} of {len(now)} files were fetched")
    return number


def _is_told(told: Mapping[str, str]) -> bool:
    """Whether a listing says more of a file than its size, which a restated one may keep."""
    return any(key != "size" for key in told)


def _below(path: str, base: str) -> str:
    """A listed path relative to the base, as a pattern is; "" for one that is not below it."""
    return path[len(base) :].lstrip("/") if path.startswith(base) else ""


def _options(scheme: str, secret: str) -> dict[str, Any]:
    if not secret:
        return {}
    values = dict(credentials_of(secret).values)
    login, password = NAMES.get(scheme, ("username", "password"))
    named = {login: values.pop("login", None), password: values.pop("password", None)}
    return {**values, **{key: value for key, value in named.items() if value}}


def _said(text: str, options: Mapping[str, Any]) -> str:
    hidden = tuple(str(value) for value in options.values())
    return shown(redacted(text, hidden)).replace("\n", " ") or SECRET
