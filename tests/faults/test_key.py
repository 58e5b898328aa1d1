"""A key that is lost, or another one, is told and stops what needs it; its back-up brings the lake's people back."""

import hmac
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf.settings import REPOSITORY
from spark_jobs.errors import LostKeyError, ThroughlineError, WrongKeyError
from spark_jobs.io import keys
from spark_jobs.io.keys import KeyState, fingerprint, key_state, lake_key, read_key
from spark_jobs.io.lake import Lake
from tests.whole import worlds

OTHER = bytes(range(32))


@pytest.fixture
def own(home, monkeypatch):
    """(root of a lake that holds one person, its key file): what a build leaves of its key, without the Spark that would make it."""
    monkeypatch.delenv("THROUGHLINE_KEY_FILE", raising=False)
    lake, key = home / "lake", lake_key(home / "lake")
    inner = bytes(b ^ 0x36 for b in key.ljust(64, b"\0"))
    write_deltalake(lake / "vault" / "hmac_keys", pa.table({"key_version": pa.array([1], pa.int32()), "inner_pad": [inner]}))
    name, value = "email", "ann@shop.test"
    made_of_it = hmac.new(key, f"{name}\x1f{value}".encode(), "sha256").hexdigest()[:32]
    people = {"identifier_key": [made_of_it], "namespace": [name], "value": [value], "key_version": pa.array([1], pa.int32())}
    write_deltalake(lake / "vault" / "identifiers", pa.table(people))
    write_deltalake(lake / "silver" / "contacts", pa.table({"contact_id": ["c1"]}))
    return lake, home / "vault" / "hmac_key.json"


@pytest.fixture(scope="module")
def whole(built, tmp_path_factory):
    """A copy of the small lake and its home."""
    own = tmp_path_factory.mktemp("key") / "home"
    shutil.copytree(built[1], own)
    return Lake(built[0].spark, str(own / "lake")), own


def command(*words):
    done = subprocess.run(
        [sys.executable, "-m", "spark_jobs", *words], cwd=REPOSITORY, env=os.environ.copy(), capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def put(path, key):
    path.unlink(missing_ok=True)
    keys.write_key(path, key)


def without(lake, *names):
    for name in names:
        shutil.rmtree(lake / name.replace(".", "/"), ignore_errors=True)


def test_a_build_notes_the_fingerprint_and_never_the_key(own):
    lake, path = own
    key = read_key(path)
    assert keys.recorded(lake) == fingerprint(key) and len(fingerprint(key)) == 16
    noted = b"".join(one.read_bytes() for one in (lake / "ops" / "keys").rglob("*") if one.is_file())
    assert key not in noted and key.hex().encode() not in noted and fingerprint(key).encode() in noted


def test_a_fingerprint_is_of_the_key_alone_and_no_identifier_of_anybody():
    assert fingerprint(OTHER) == fingerprint(bytes(range(32))) != fingerprint(bytes(32))
    assert b"\x1f" not in keys.FINGERPRINTED


@pytest.mark.parametrize(
    "lost", [(), ("vault.hmac_keys",), ("ops.keys",), ("ops.keys", "vault.hmac_keys"), ("ops.keys", "vault.hmac_keys", "vault.identifiers")]
)
def test_no_new_key_is_made_beside_a_lake_that_holds_identifiers(own, lost):
    lake, path = own
    without(lake, *lost)
    path.unlink()
    with pytest.raises(LostKeyError, match=r"is lost.*vault restore FILE"):
        lake_key(lake)
    assert not path.exists() and key_state(lake).seen == "lost"


@pytest.mark.parametrize("lost", [(), ("vault.hmac_keys",), ("ops.keys",), ("ops.keys", "vault.hmac_keys")])
def test_another_key_is_refused_by_whatever_still_tells_it(own, lost):
    lake, path = own
    right = read_key(path)
    without(lake, *lost)
    assert keys.is_key_of(lake, right) is True
    put(path, OTHER)
    with pytest.raises(WrongKeyError, match=fingerprint(OTHER)):
        lake_key(lake)
    assert key_state(lake).seen == "another one than the lake's"


def test_a_run_that_needs_the_key_ends_with_the_sentence_and_publishes_nothing(whole, monkeypatch):
    lake, home = whole
    monkeypatch.setenv("THROUGHLINE_HOME", str(home))
    path, before = home / "vault" / "hmac_key.json", worlds.versions(lake)
    right = read_key(path)
    assert keys.recorded(lake.root) == fingerprint(right) and keys.is_key_of(lake.root, right)
    put(path, OTHER)
    with pytest.raises(WrongKeyError, match=r"vault restore FILE --replace"):
        worlds.run(lake, home, ["silver.contacts"], force=True)
    path.unlink()
    with pytest.raises(LostKeyError, match=r"vault restore FILE"):
        worlds.run(lake, home, ["silver.contacts"], force=True)
    assert not path.exists()
    assert worlds.versions(lake) == before
    # all that a real build left but one identifier: that proves the key as well
    for name in ("ops.keys", "vault.hmac_keys"):
        shutil.rmtree(lake.path(name))
    assert keys.is_key_of(lake.root, right) is True and keys.is_key_of(lake.root, OTHER) is False
    put(path, right)
    worlds.run(lake, home, ["silver.contacts"], force=True)
    assert keys.recorded(lake.root) == fingerprint(right)


def test_doctor_and_status_say_a_lost_and_another_key(own):
    _, path = own
    right = read_key(path)
    assert f"key        {fingerprint(right)}" in command("status").stdout
    put(path, OTHER)
    assert f"another one than the lake's: {path} holds the key {fingerprint(OTHER)}" in command("status").stdout
    path.unlink()
    assert "key        lost" in command("status").stdout
    shown = command("doctor")
    assert shown.returncode == 1 and "lost" in shown.stdout
    assert command("vault", "show").returncode == 2


def test_a_back_up_brings_back_a_lost_key_and_the_same_people(own, tmp_path):
    lake, path = own
    key, copy = read_key(path), tmp_path / "away" / "key.json"
    assert fingerprint(key) in command("vault", "backup", str(copy)).stdout
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    again = command("vault", "backup", str(copy))
    assert again.returncode == 2 and "is there already" in again.stderr and read_key(copy) == key
    path.unlink()
    assert fingerprint(key) in command("vault", "restore", str(copy)).stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and lake_key(lake) == key
    assert command("vault", "restore", str(copy)).returncode == 0 and key_state(lake) == KeyState(fingerprint(key))


def test_another_lake_s_key_is_not_restored_and_a_key_is_replaced_only_when_told(own, tmp_path):
    _, path = own
    key, right, wrong = read_key(path), tmp_path / "right.json", tmp_path / "wrong.json"
    keys.write_key(right, key)
    keys.write_key(wrong, OTHER)
    for words in (("restore", str(wrong)), ("restore", str(wrong), "--replace")):
        done = command("vault", *words)
        assert done.returncode == 2 and "WrongKeyError" in done.stderr and read_key(path) == key
    put(path, OTHER)
    refused = command("vault", "restore", str(right))
    assert refused.returncode == 2 and "--replace" in refused.stderr and read_key(path) == OTHER
    assert command("vault", "backup", str(tmp_path / "new.json")).returncode == 2
    assert command("vault", "restore", str(right), "--replace").returncode == 0
    assert read_key(path) == key and read_key(path.with_name(f"hmac_key.json.{fingerprint(OTHER)}")) == OTHER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 9_000,
        "{" + " " * 10_000 + "}",
        "[]",
        '{"key": 7}',
        '{"key": "zz"}',
        '{"key": "00"}',
        json.dumps({"key": OTHER.hex(), "fingerprint": "0" * 16}),
    ],
)
def test_a_damaged_key_file_is_one_sentence(own, text, tmp_path):
    lake, path = own
    path.write_text(text)
    with pytest.raises(ThroughlineError, match=str(path)):
        lake_key(lake)
    assert key_state(lake).seen == "unreadable"
    copy = tmp_path / "damaged.json"
    copy.write_text(text)
    with pytest.raises(ThroughlineError, match=r"damaged\.json"):
        keys.restore(lake, copy, may_replace=True)


def test_a_new_lake_makes_its_key_once_though_many_ask_at_once(tmp_path):
    ask = "from spark_jobs.io.keys import lake_key; import sys; print(lake_key(sys.argv[1]).hex())"
    env = {**os.environ, "THROUGHLINE_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    asking = [
        subprocess.Popen([sys.executable, "-c", ask, str(tmp_path / "lake")], env=env, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = {one.communicate()[0].splitlines()[-1] for one in asking}
    assert all(one.returncode == 0 for one in asking) and len(said) == 1
    assert fingerprint(bytes.fromhex(said.pop())) == keys.recorded(tmp_path / "lake")
    assert [one.name for one in (tmp_path / "vault").iterdir() if one.name.startswith("hmac")] == ["hmac_key.json"]


def test_a_key_file_that_others_may_read_is_told(own):
    lake, path = own
    path.chmod(0o644)
    assert "chmod 600" in key_state(lake).fix
    assert secrets.compare_digest(lake_key(lake), read_key(path))
