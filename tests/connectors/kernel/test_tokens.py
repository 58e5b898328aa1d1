"""Access tokens: asked for once by all processes, written down before they are used, and never shown."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from conf.settings import source
from connectors.kernel.api import Api
from connectors.kernel.auth import Credentials
from connectors.kernel.errors import BrokenContractError, CredentialsError, ForeignOriginError, StreamDeclarationError, TemporaryError
from connectors.kernel.http import Call, Client, form_poster
from connectors.kernel.streams import Account
from connectors.kernel.tokens import OAuth2
from tests.connectors.kernel.vendor import Asked, Said, Vendor, vendor

SEED = {"login": "client-1", "password": "canary-secret", "refresh_token": "canary-refresh-0"}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def there() -> Iterator[Vendor]:
    with vendor() as made:
        yield made


def rotating(there: Vendor, seconds: object = 1800) -> list[str]:
    """A vendor that takes each refresh token once; returns those it took."""
    took: list[str] = []

    def answer(asked: Asked) -> Said:
        if asked.path != "/token":
            last = f"Bearer canary-access-{len(took)}"
            return Said(200 if asked.headers["Authorization"] == last else 401, {})
        form = dict(parse_qsl(asked.body.decode()))
        if form.get("refresh_token") != f"canary-refresh-{len(took)}":
            return Said(400, {"error": "invalid_grant", "error_description": form.get("refresh_token")})
        took.append(form["refresh_token"])
        number = len(took)
        return Said(content={"access_token": f"canary-access-{number}", "refresh_token": f"canary-refresh-{number}", "expires_in": seconds})

    there.answer = answer
    return took


def auth(there: Vendor, tmp_path: Path, clock: Clock | None = None, seed: dict[str, str] = SEED, grant: str = "refresh_token") -> OAuth2:
    return OAuth2(grant, Credentials("crm_main", seed), form_poster(f"{there.url}/token"), tmp_path / "tokens.sqlite", clock or Clock())


def bearer(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer canary-access-{number}"}


def test_a_token_is_asked_for_once_and_again_before_it_ends(there, tmp_path):
    took, clock = rotating(there), Clock()
    first, second = auth(there, tmp_path, clock), auth(there, tmp_path, clock)
    assert first.headers() == first.headers() == second.headers() == bearer(1)
    clock.now += 1800 - 59
    assert second.headers() == first.headers() == bearer(2)
    # the refresh token that came last, not the connection's
    assert took == ["canary-refresh-0", "canary-refresh-1"]


def test_client_credentials_say_no_refresh_token(there, tmp_path):
    there.says(Said(content={"access_token": "canary-access-1"}))
    made = auth(there, tmp_path, seed={"login": "client-1", "password": "canary-secret"}, grant="client_credentials")
    assert made.headers() == bearer(1) == made.headers()
    (asked,) = there.asked
    assert dict(parse_qsl(asked.body.decode())) == {
        "grant_type": "client_credentials",
        "client_id": "client-1",
        "client_secret": "canary-secret",
    }


def test_a_call_that_is_refused_is_made_again_with_another_token(there, tmp_path):
    took = rotating(there)
    made = auth(there, tmp_path)
    client = Client(there.url, made)
    assert client.ask(Call("contacts")).status == 200
    # the vendor takes the token back before its time; another process has fetched the next one already
    other = auth(there, tmp_path)
    other.headers()
    other.renew()
    assert client.ask(Call("contacts")).status == 200 and len(took) == 2


def test_many_processes_at_once_ask_for_one_token(there, tmp_path):
    took = rotating(there)
    children = []
    for _ in range(6):
        child = os.fork()
        if not child:
            os._exit(0 if auth(there, tmp_path).headers() == bearer(1) else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    assert took == ["canary-refresh-0"]


def test_a_kill_after_the_answer_ends_as_authorise_anew_and_a_changed_seed_wins(there, tmp_path):
    took = rotating(there)
    child = os.fork()
    if not child:
        made = auth(there, tmp_path)
        real = made.post

        def killed(form):
            real(form)
            os.kill(os.getpid(), signal.SIGKILL)

        made.post = killed
        made.headers()
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]) and took == ["canary-refresh-0"]
    for _ in range(2):
        with pytest.raises(
            CredentialsError, match=r"connection crm_main: .*\(400 invalid_grant\); an earlier answer .*: authorise anew"
        ) as error:
            auth(there, tmp_path).headers()
        assert "canary" not in str(error.value)
    assert auth(there, tmp_path, seed={**SEED, "refresh_token": "canary-refresh-1"}).headers() == bearer(2)


def test_a_kill_before_the_vendor_is_asked_costs_nothing(there, tmp_path):
    rotating(there)
    child = os.fork()
    if not child:
        made = auth(there, tmp_path)
        made.post = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        made.headers()
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert auth(there, tmp_path).headers() == bearer(1)


def test_a_token_is_written_down_before_it_is_used(there, tmp_path):
    rotating(there)
    made = auth(there, tmp_path)
    made.headers()
    (row,) = sqlite3.connect(tmp_path / "tokens.sqlite").execute("SELECT access_token, refresh_token, is_asked FROM tokens").fetchall()
    assert row == ("canary-access-1", "canary-refresh-1", 0)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_what_passes_is_said_so_and_the_refresh_token_stays(there, tmp_path):
    there.says(Said(503, {}))
    with pytest.raises(TemporaryError, match=r"the vendor gives no token now \(503\)"):
        auth(there, tmp_path).headers()
    with pytest.raises(TemporaryError, match=r"http://127\.0\.0\.1:1: no whole answer for a token \(ConnectionError\)") as error:
        OAuth2(
            "refresh_token", Credentials("crm_main", SEED), form_poster("http://127.0.0.1:1/token?x=canary"), tmp_path / "tokens.sqlite"
        ).headers()
    assert "canary" not in str(error.value)
    rotating(there)
    assert auth(there, tmp_path).headers() == bearer(1)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'{"access_token": 5}', b'{"access_token": ""}'])
def test_an_answer_without_a_token_is_named(there, tmp_path, content):
    there.says(Said(200, content))
    with pytest.raises(BrokenContractError, match="holds no access_token"):
        auth(there, tmp_path).headers()


@pytest.mark.parametrize("seconds", ["1800", 1800.0, None, "soon", True])
def test_an_end_that_is_none_is_taken_for_a_short_one(there, tmp_path, seconds):
    took, clock = rotating(there, seconds), Clock()
    made = auth(there, tmp_path, clock)
    made.headers()
    clock.now += 500
    made.headers()
    assert len(took) == 1
    clock.now += 1300
    assert made.headers() == bearer(2)


def test_nothing_of_it_is_shown(there, tmp_path):
    rotating(there)
    made = auth(there, tmp_path)
    made.headers()
    assert "canary" not in repr(made) and {"canary-access-1", "canary-refresh-1", "canary-secret"} <= set(made.secrets())
    there.says(Said(401, {"error": "canary-access-1 canary-refresh-1"}), Said(400, {"error": "canary-secret"}))
    with pytest.raises(CredentialsError) as error:
        Client(there.url, made).ask(Call("contacts"))
    assert "canary" not in str(error.value) and json.dumps(str(error.value))


def test_a_token_is_not_asked_for_in_clear():
    with pytest.raises(ForeignOriginError, match=r"token_url is http://login\.example\.com/token; give an https:// URL"):
        form_poster("http://login.example.com/token")


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def signing(there: Vendor, tmp_path: Path, key: str = PEM, subject: str = "ann", clock: Clock | None = None) -> OAuth2:
    claims = {"aud": "https://login.example.com", "sub": subject}
    seed = Credentials("crm_main", {"login": "client-1", "password": key})
    return OAuth2("jwt_bearer", seed, form_poster(f"{there.url}/token"), tmp_path / "tokens.sqlite", clock or Clock(), claims)


def test_a_signed_assertion_says_who_asks_for_how_long_and_no_secret(there, tmp_path):
    there.says(Said(content={"access_token": "canary-access-1", "expires_in": 1800}))
    clock = Clock()
    clock.now = time.time()
    made = signing(there, tmp_path, clock=clock)
    assert made.headers() == bearer(1) == made.headers()
    (asked,) = there.asked
    form = dict(parse_qsl(asked.body.decode()))
    assert form.pop("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    said = jwt.decode(form.pop("assertion"), KEY.public_key(), ["RS256"], audience="https://login.example.com")
    assert not form and (said["iss"], said["sub"], said["exp"] - said["iat"]) == ("client-1", "ann", 180)


def test_another_subject_is_another_seed(there, tmp_path):
    there.says(Said(content={"access_token": "canary-access-1"}), Said(content={"access_token": "canary-access-2"}))
    assert [signing(there, tmp_path, subject=one).headers() for one in ("ann", "ben")] == [bearer(1), bearer(2)]


@pytest.mark.parametrize("key", ["no key", PEM[100:], PEM[:200]])
def test_a_key_that_is_none_is_named_and_not_shown(there, tmp_path, key):
    with pytest.raises(CredentialsError, match="connection crm_main: password is no RSA private key in PEM") as error:
        signing(there, tmp_path, key).headers()
    assert key not in str(error.value) and error.value.__cause__ is None and not there.asked


def test_where_a_token_holds_is_known_to_every_process_and_forgotten_with_it(there, tmp_path):
    seed = {"login": "client-1", "password": "canary-secret"}
    first = {"access_token": "canary-access-1", "instance_url": "https://acme.example.com", "signature": "canary-signature"}
    there.says(Said(content=first), Said(content={"access_token": "canary-access-2"}))
    made = auth(there, tmp_path, seed=seed, grant="client_credentials")
    other = auth(there, tmp_path, seed=seed, grant="client_credentials")
    assert made.named("instance_url") == other.named("instance_url") == "https://acme.example.com" and len(there.asked) == 1
    assert b"canary-signature" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    other.renew()
    assert made.named("instance_url") == "" and len(there.asked) == 2


@pytest.mark.parametrize(("changed", "is_right"), [
    ({}, True), ({"audience": "https://login.example.com", "instances": ["example.com"]}, True), ({"grant": "password"}, False),
    ({"grant": ["jwt_bearer"]}, False), ({"colour": "red"}, False),
])  # fmt: skip
def test_a_declaration_of_tokens_says_what_is_allowed(changed, is_right):
    declared = {"kind": "oauth2", "grant": "jwt_bearer", "token_url": "https://login.example.com/token", **changed}
    asked = source("salesforce")
    asked = dataclasses.replace(asked, settings={**asked.settings, "auth": declared})
    account = Account("main", "crm_main", "UTC", {})
    seed = Credentials("crm_main", {"login": "client-1", "password": PEM, "subject": "ann"})
    if is_right:
        made = Api().auth(asked, account, seed)
        assert isinstance(made, OAuth2) and made.claims == {"aud": declared.get("audience", declared["token_url"]), "sub": "ann"}
        return
    with pytest.raises(StreamDeclarationError, match=r"conf/sources/salesforce.yml: settings.auth: got .*as grant \['client_credentials'"):
        Api().auth(asked, account, seed)
