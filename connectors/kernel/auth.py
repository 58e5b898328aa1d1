"""Who asks: credentials by reference, and the headers they become.

`secret: klaviyo_main` in a source names an Airflow connection; whoever runs the pull gives it as the environment variable
AIRFLOW_CONN_KLAVIYO_MAIN, in Airflow's JSON: {"login": …, "password": …, "extra": {…}}. No value of it is ever shown.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

from conf.personal import masked_text
from connectors.kernel.errors import CredentialsError, StreamDeclarationError

SECRET = "[secret]"
NAME = "[A-Za-z][A-Za-z0-9_]{0,79}"
# shorter values are words that stand in any text
SHORTEST = 6
# by the kind of an auth: the header it fills, what stands before the value there, and which values of the connection it needs
KINDS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "bearer": ("Authorization", "Bearer ", ("password",)),
    "basic": ("Authorization", "Basic ", ("login", "password")),
    "api_key": ("Authorization", "", ("password",)),
}
KEYS = ("kind", "header", "prefix")
# of a connection's values those that say where it leads
PLACES = frozenset({"host", "token_url", "instance_url"})


@dataclass(frozen=True)
class Credentials:
    """A connection's values by their names: login, password and those of extra."""

    name: str
    values: Mapping[str, str] = field(repr=False)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The values that nobody may read: not where the vendor is."""
        return tuple(value for key, value in self.values.items() if key not in PLACES)

    def need(self, key: str) -> str:
        """A value. Raises CredentialsError naming what is missing."""
        if not self.values.get(key):
            raise CredentialsError(f"connection {self.name}: has no {key}; set it in {_place(self.name)}")
        return self.values[key]


class Auth(Protocol):
    """What signs a call; renew: whether there are other headers to try after the vendor refused these."""

    def headers(self) -> Mapping[str, str]: ...

    def renew(self) -> bool: ...

    def secrets(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class StaticAuth:
    """The same headers for every call."""

    signed: Mapping[str, str] = field(repr=False)
    hidden: tuple[str, ...] = field(repr=False)

    def headers(self) -> Mapping[str, str]:
        return self.signed

    def renew(self) -> bool:
        return False

    def secrets(self) -> tuple[str, ...]:
        return self.hidden


def credentials_of(name: str, environment: Mapping[str, str] = os.environ) -> Credentials:
    """A connection's values. Raises CredentialsError that names the variable, and shows nothing of what stands there."""
    if not re.fullmatch(NAME, name):
        raise CredentialsError(f"secret is {name!r}; give a connection's name: letters, digits and _")
    text = environment.get(f"AIRFLOW_CONN_{name.upper()}")
    if not text:
        raise CredentialsError(f"connection {name}: is not there; make it as {_place(name)}")
    try:
        found = json.loads(text)
        extra = found.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        values = {**extra, **{key: found[key] for key in ("login", "password", "host") if found.get(key)}}
    except (ValueError, AttributeError, TypeError):
        # what could not be read stands in the cause too
        raise CredentialsError(f"connection {name}: is no JSON object with login, password and extra; write {_place(name)}") from None
    return Credentials(name, {str(key): str(value) for key, value in values.items() if isinstance(value, str | int)})


def auth_of(declared: Mapping[str, Any], credentials: Credentials, where: str) -> Auth:
    """The auth that a source declares: {kind: bearer | basic | api_key, header: …, prefix: …}.

    where: file and key of the declaration. Raises StreamDeclarationError naming what is allowed, CredentialsError for what is missing.
    """
    kind = declared.get("kind")
    if not isinstance(kind, str) or kind not in KINDS or set(declared) - set(KEYS):
        raise StreamDeclarationError(f"{where}: got {dict(declared)}; allowed are the keys {list(KEYS)}, and as kind {list(KINDS)}")
    header, prefix, needed = KINDS[kind]
    value = ":".join(credentials.need(key) for key in needed)
    if kind == "basic":
        value = base64.b64encode(value.encode()).decode()
    if not value.isascii() or not value.isprintable():
        raise CredentialsError(
            f"connection {credentials.name}: {' and '.join(needed)} hold a sign that no header has, as a line's end; set them anew"
        )
    headers = {str(declared.get("header", header)): f"{declared.get('prefix', prefix)}{value}"}
    return StaticAuth(headers, (value, *credentials.hidden))


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """The text without the secrets, in the forms they travel in, and without what names a person."""
    forms = {form for one in secrets if len(one) >= SHORTEST for form in (one, quote(one, safe=""), quote_plus(one), json.dumps(one)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, SECRET)
    return masked_text(text)


def _place(name: str) -> str:
    return f'Airflow\'s connection {name}, or on the command line AIRFLOW_CONN_{name.upper()}=\'{{"password": "…"}}\''
