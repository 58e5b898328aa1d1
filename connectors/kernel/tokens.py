"""Access tokens of OAuth 2 (RFC 6749): fetched by one process of a machine, kept for all, and written down before they are used.

The connection is the seed and is only read: {"login": client id, "password": client secret, "extra": {"refresh_token": …}}; of the grant
jwt_bearer (RFC 7523) the password is the private key in PEM, and extra may have the subject, the user in whose name is asked. A vendor may hand
out a new refresh token with each access token and take the old one back, so what came last stands in $THROUGHLINE_HOME/state/tokens.sqlite,
which its owner alone reads; a seed that was changed since wins. A run that is killed after the vendor's answer and before it is written
down has spent the refresh token: whoever comes next is told to authorise anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from conf.settings import home, made
from connectors.kernel.auth import Credentials, redacted
from connectors.kernel.database import transaction
from connectors.kernel.errors import BrokenContractError, ConnectorError, CredentialsError, TemporaryError

# by the name in a source's declaration what a request calls it
GRANTS: Mapping[str, str] = {
    "client_credentials": "client_credentials",
    "refresh_token": "refresh_token",
    "jwt_bearer": "urn:ietf:params:oauth:grant-type:jwt-bearer",
}
# How long a signed assertion holds: some vendors take none that holds longer
ASSERTION_SECONDS = 180
# What an answer says of where its token holds, and is kept with it
NAMED = ("instance_url",)
# A token is renewed this long before it ends: it has to arrive too
MARGIN_SECONDS = 60.0
# What a token without an end is kept for
KEPT_SECONDS = 600.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    name TEXT PRIMARY KEY, seed_sha256 TEXT NOT NULL, access_token TEXT NOT NULL, refresh_token TEXT NOT NULL, expires_at REAL NOT NULL,
    is_asked INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS named (name TEXT PRIMARY KEY, access_token TEXT NOT NULL, said TEXT NOT NULL);
"""
# the form that is sent: the status and the JSON that came. Raises TemporaryError.
Post = Callable[[Mapping[str, str]], tuple[int, Mapping[str, object]]]


@dataclass(frozen=True)
class Token:
    """What was fetched last; is_asked: a new one was asked for, and no answer was written down; named: what the answer said of NAMED."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float
    is_asked: bool
    named: Mapping[str, str] = field(default_factory=dict)


@dataclass
class OAuth2:
    """An Auth of access tokens.

    post: sends the form to the vendor's token URL. file: where tokens are kept, by default in this home. clock: seconds since 1970. claims: of
    jwt_bearer what the assertion says beside issuer and times, as aud, sub and scope.
    """

    grant: str
    credentials: Credentials
    post: Post
    file: Path | None = None
    clock: Callable[[], float] = time.time
    claims: Mapping[str, str] = field(default_factory=dict)
    _used: str = field(default="", repr=False)
    _seen: set[str] = field(default_factory=set, repr=False)

    def headers(self) -> Mapping[str, str]:
        """The header of a token that still holds for MARGIN_SECONDS, fetched where there is none."""
        token = self._kept()
        if token is None or token.expires_at - MARGIN_SECONDS <= self.clock():
            token = self._fetched(token.access_token if token else "")
        self._used = token.access_token
        self._seen |= {token.access_token, token.refresh_token}
        return {"Authorization": f"Bearer {token.access_token}"}

    def renew(self) -> bool:
        """Fetch another token than the one that was refused; another process may have done so."""
        self._fetched(self._used)
        return True

    def named(self, key: str) -> str:
        """What the vendor said of the token that holds: one of NAMED, empty where it said nothing."""
        self.headers()
        token = self._kept()
        return token.named.get(key, "") if token else ""

    def secrets(self) -> tuple[str, ...]:
        return (*self.credentials.hidden, *self._seen)

    def _fetched(self, refused: str) -> Token:
        """A token that is not the refused one. Raises CredentialsError, BrokenContractError or TemporaryError."""
        with self._alone():
            kept = self._kept()
            if kept and kept.access_token not in ("", refused) and kept.expires_at - MARGIN_SECONDS > self.clock():
                return kept
            refresh = kept.refresh_token if kept else self._seed_refresh()
            # said before the vendor is asked, so that whoever comes after a kill knows
            self._write(Token("", refresh, 0.0, True))
            token = self._asked_for(refresh, is_unsure=bool(kept and kept.is_asked))
            # committed before its first use
            self._write(token)
            return token

    def _asked_for(self, refresh: str, is_unsure: bool) -> Token:
        status, said = self.post(self._form(refresh))
        access, again, seconds = (said.get(key) for key in ("access_token", "refresh_token", "expires_in"))
        self._seen |= {str(one) for one in (refresh, access, again) if one}
        if 400 <= status < 500:
            self._write(Token("", refresh, 0.0, is_unsure))
            why = "; an earlier answer never came or was not written down, which may have spent the refresh token" if is_unsure else ""
            raise self._error(
                CredentialsError,
                f"connection {self.credentials.name}: the vendor gives no token ({status} {said.get('error', '')}){why}: authorise anew, and set "
                "what you get in the connection",
            )
        if status != 200:
            self._write(Token("", refresh, 0.0, is_unsure))
            raise self._error(
                TemporaryError, f"connection {self.credentials.name}: the vendor gives no token now ({status}); try again later"
            )
        if not isinstance(access, str) or not access:
            raise self._error(
                BrokenContractError, f"connection {self.credentials.name}: the vendor's answer holds no access_token; tell the vendor"
            )
        lasting = float(seconds) if isinstance(seconds, int | float | str) and str(seconds).replace(".", "", 1).isdigit() else KEPT_SECONDS
        named = {key: value for key in NAMED if isinstance(value := said.get(key), str)}
        return Token(access, again if isinstance(again, str) and again else refresh, self.clock() + lasting, False, named)

    def _form(self, refresh: str) -> Mapping[str, str]:
        """What is sent to the vendor's token URL."""
        login, password = self.credentials.need("login"), self.credentials.need("password")
        form = {"grant_type": GRANTS[self.grant]}
        if self.grant == "jwt_bearer":
            return {**form, "assertion": self._assertion(login, password)}
        more = {"refresh_token": refresh} if self.grant == "refresh_token" else {}
        return {**form, "client_id": login, "client_secret": password, **more}

    def _assertion(self, issuer: str, key: str) -> str:
        """What the client says of itself, signed. Raises CredentialsError for a key that is none."""
        now = int(self.clock())
        try:
            signed = jwt.encode({"iss": issuer, **self.claims, "iat": now, "exp": now + ASSERTION_SECONDS}, key, "RS256")
        except (ValueError, TypeError, jwt.PyJWTError, UnsupportedAlgorithm):
            raise CredentialsError(
                f"connection {self.credentials.name}: password is no RSA private key in PEM without a passphrase; set it, with its line ends"
            ) from None
        self._seen.add(signed)
        return signed

    def _error(self, kind: type[ConnectorError], text: str) -> ConnectorError:
        return kind(redacted(text, self.secrets()))

    def _seed_refresh(self) -> str:
        return self.credentials.need("refresh_token") if self.grant == "refresh_token" else ""

    def _seed_sha256(self) -> str:
        seed = (self.credentials.values.get(key, "") for key in ("login", "password", "refresh_token"))
        parts = (self.grant, *seed, *self.claims.values())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _kept(self) -> Token | None:
        """What was written down, of this seed."""
        with self._open() as base:
            row = base.execute(
                "SELECT access_token, refresh_token, expires_at, is_asked, said FROM tokens LEFT JOIN named USING (name, access_token) "
                "WHERE name = ? AND seed_sha256 = ?",
                (self.credentials.name, self._seed_sha256()),
            ).fetchone()
        return Token(row[0], row[1], row[2], bool(row[3]), json.loads(row[4] or "{}")) if row else None

    def _write(self, token: Token) -> None:
        values = (self.credentials.name, self._seed_sha256(), token.access_token, token.refresh_token, token.expires_at, token.is_asked)
        with self._open() as base:
            base.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?, ?)", values)
            base.execute(
                "INSERT OR REPLACE INTO named VALUES (?, ?, ?)", (self.credentials.name, token.access_token, json.dumps(dict(token.named)))
            )

    def _place(self) -> Path:
        return self.file or made(home() / "state") / "tokens.sqlite"

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._place(), SCHEMA, "FULL")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """A block that one process of the machine is in, for this connection; a kill frees it."""
        lock = os.open(f"{self._place()}.{self.credentials.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
