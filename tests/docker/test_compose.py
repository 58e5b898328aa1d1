"""docker/compose.yml as docker compose itself reads it: the rules of the house, and that the full profile without Docker runs the same."""

import re
import stat
import subprocess

import pytest

from conf.settings import REPOSITORY
from spark_jobs.embedded import full, services

PROFILES = ("s3", "kafka")
OURS = re.compile(r"/run/secrets/(\w+)")
SECRETIVE = re.compile("PASSWORD|SECRET|TOKEN|(?<!CONCURRENT_)KEY")
# settings whose names sound so: which file Airflow writes passwords to, which user has one
PLAIN = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"}


@pytest.fixture(scope="module")
def read(checked):
    """The whole project, with what is started on demand."""
    return checked("compose", full.COMPOSE, *PROFILES)


NAMES = tuple(full.read_yaml(full.COMPOSE)["services"])


def test_docker_s_loader_takes_it_with_and_without_what_is_started_on_demand(checked, read):
    assert set(read["services"]) == set(NAMES)
    assert set(NAMES) - set(checked("compose", full.COMPOSE)["services"]) == {"object-store", "kafka"}


@pytest.mark.parametrize("name", NAMES)
def test_a_service_says_when_it_is_well_what_it_may_take_and_how_it_is_started_again(read, name):
    service = read["services"][name]
    awaited = {need: how["condition"] for one in read["services"].values() for need, how in one.get("depends_on", {}).items()}
    if awaited.get(name) == "service_completed_successfully":
        assert service["healthcheck"] == {"disable": True} and service["restart"] == "on-failure"
    else:
        assert service["healthcheck"]["test"][0] == "CMD" and service["restart"] == "unless-stopped"
    limits = service["deploy"]["resources"]["limits"]
    assert limits["cpus"] and int(limits["memory"]) <= 6 * 2**30 and limits["pids"]
    assert service["init"] is True


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_not_root_may_gain_nothing_and_is_published_on_this_machine_alone(read, name):
    service = read["services"][name]
    assert service["user"] not in ("", "0", "root") and not service["user"].startswith("0:")
    assert service["security_opt"] == ["no-new-privileges:true"] and service["cap_drop"] == ["ALL"]
    assert service.get("read_only") is True or name == "kafka"
    assert {port["host_ip"] for port in service.get("ports", ())} <= {"127.0.0.1"}
    assert not set(service) & {"privileged", "cap_add", "pid", "ipc", "network_mode", "devices"}
    binds = [volume for volume in service.get("volumes", ()) if volume["type"] != "volume"]
    assert all(volume["read_only"] and volume["source"].endswith("docker/with-secrets") for volume in binds)
    assert "build" in service or (":" in service["image"] and not service["image"].endswith(":latest"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_secret_is_in_a_file_that_the_service_was_given(read, name):
    service = read["services"][name]
    given = {secret["source"] for secret in service.get("secrets", ())}
    for key, value in service["environment"].items():
        if SECRETIVE.search(key) and key not in PLAIN:
            assert key.endswith("_FILE") and OURS.fullmatch(value), key
        assert not re.search(r"://[^/@]*:[^/@]*@", value), f"{key} holds a password"
    text = " ".join([*service["environment"].values(), *service["command"]])
    assert set(OURS.findall(text)) <= given <= set(read["secrets"])


def test_no_secret_is_beside_the_yaml_in_git_or_in_the_image(read):
    assert {secret["file"] for secret in read["secrets"].values()} == {
        str(p) for p in full.secret_files(REPOSITORY / "docker/secrets").values()
    }
    assert "docker/secrets/" in (REPOSITORY / ".gitignore").read_text().splitlines()
    kept = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert "!docker" not in kept and not [line for line in kept if "secrets" in line and line != "!docker/with-secrets"]


def test_the_full_profile_runs_what_docker_compose_would(checked, home, monkeypatch):
    """The same file with the same variables, read by docker compose and by us; then paths of containers become this machine's."""
    monkeypatch.setattr(full.shutil, "which", lambda program, **_: f"/bin/{program}")
    monkeypatch.setattr(full, "as_postgres", lambda declared: declared)
    ports = {name: 20_000 + place for place, name in enumerate(full.preferred_ports())}
    ours = {one.name: one for one in full.declarations(ports, {}, print, schedule=True)}
    values = {f"THROUGHLINE_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    values |= {f"THROUGHLINE_{name}_HOST": services.HOST for name in re.findall(r"THROUGHLINE_(\w+)_HOST", full.COMPOSE.read_text())}
    theirs = checked(
        "compose", full.COMPOSE, *PROFILES, env={**values, "THROUGHLINE_SECRETS": str(home), "THROUGHLINE_POSTGRES_SOCKETS": ""}
    )
    places = {"/opt/throughline": REPOSITORY, "/var/lib/throughline": home, "/var/lib/postgresql/data": home / "postgres"}
    places["/var/lib/kafka/data"] = home / "kafka"

    def here(text):
        text = OURS.sub(lambda found: theirs["secrets"][found[1]]["file"], text)
        for there, place in places.items():
            text = text.replace(there, str(place))
        return text

    assert set(ours) == set(theirs["services"]) == set(NAMES)
    for name, service in theirs["services"].items():
        entrypoint = [str(full.ENTRYPOINT)] if "build" in service or service["entrypoint"] else []
        # the project as JSON has its dollars as they were in the file
        said = [word.replace("$$", "$") for word in service["command"]]
        assert ours[name].command == [*entrypoint, *map(here, said)], name
        assert ours[name].environment == {key: here(value) for key, value in service["environment"].items()}, name
        assert list(ours[name].healthy) == [*map(here, service["healthcheck"].get("test", ["CMD"])[1:])], name
        assert set(ours[name].needs) == set(service.get("depends_on") or ()), name


def test_what_is_not_on_this_machine_is_left_out_in_words(monkeypatch):
    monkeypatch.setattr(full.shutil, "which", lambda program, **_: None)
    said = []
    assert set(full.services_here(said.append)) == set(NAMES) - {"object-store", "kafka"}
    assert len(said) == 2 and all("is not started" in one and "docker/compose.yml" in one for one in said)
    assert "kafka" not in full.preferred_ports()


def test_secrets_are_made_once_and_read_by_who_may_enter_their_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path / "unused"))
    full.make_secrets(tmp_path / "secrets")
    files = full.secret_files(tmp_path / "secrets")
    first = {name: path.read_text() for name, path in files.items()}
    assert len({*first.values()}) == len(first) and all(len(text) >= 16 for text in first.values())
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o444}
    full.make_secrets(tmp_path / "secrets")
    assert first == {name: path.read_text() for name, path in files.items()}


def test_the_entrypoint_brings_secrets_from_files_and_begins_nothing_without_them(tmp_path):
    (tmp_path / "key").write_text("a b'c\"$d\n")
    env = {"PATH": "/usr/bin:/bin", "KEY_FROM_FILE": str(tmp_path / "key"), "OTHER": "o"}
    done = subprocess.run([full.ENTRYPOINT, "env", "-0"], env=env, capture_output=True, text=True, check=True)
    assert {"KEY=a b'c\"$d", "OTHER=o"} <= set(done.stdout.split("\0")) and "FROM_FILE" not in done.stdout
    done = subprocess.run([full.ENTRYPOINT, "env"], env={**env, "KEY_FROM_FILE": "/nowhere"}, capture_output=True, text=True)
    assert done.returncode and not done.stdout and "/nowhere" in done.stderr
