"""The full profile's words: variables as docker compose fills them, and what is said where something is missing."""

import pytest

from conf import doors
from spark_jobs.embedded import full
from spark_jobs.embedded.declaration import AIRFLOW_ENV, Declaration, ServiceError, env_file, here
from spark_jobs.embedded.demo import up
from spark_jobs.embedded.services import ailment
from spark_jobs.errors import ThroughlineError

PICTURED = {"PORT": "1", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("tcp://${HOST:-postgres}:${PORT:-5432}", "tcp://postgres:1"),
        ("a${EMPTY:-default}", "adefault"),
        ("a${EMPTY-default}", "a"),
        ("${PORT}${NONE}", "1"),
        ('"$$ADDRESS" $5', '"$ADDRESS" $5'),
    ],
)
def test_a_variable_has_its_value_or_its_default(text, filled):
    assert full.filled(text, PICTURED) == filled


def test_a_path_of_the_image_is_this_machine_s_and_is_replaced_once(monkeypatch, tmp_path):
    home = tmp_path / "var/lib/throughline-2"
    monkeypatch.setenv("THROUGHLINE_HOME", str(home))
    said = here("/var/lib/throughline/x /run/secrets/key_id", {"/run/secrets/key": "/k", "/run/secrets/key_id": "/var/lib/throughline"})
    assert said == f"{home}/x /var/lib/throughline"


def test_airflow_s_user_is_the_one_that_its_password_is_made_for():
    assert env_file(AIRFLOW_ENV)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == f"{doors.AIRFLOW_USER}:admin"


def test_without_postgresql_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(full.shutil, "which", lambda program, **_: None)
    monkeypatch.setattr(full, "POSTGRES_FOLDERS", f"{tmp_path}/*/bin")
    with pytest.raises(ServiceError, match="apt-get install postgresql-15"):
        full.as_postgres(Declaration("postgres", ["postgres"], {}))


def test_of_several_postgresqls_the_newest_is_taken(monkeypatch, tmp_path):
    for version in ("9.6", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "postgres").touch()
    monkeypatch.setattr(full.shutil, "which", lambda program, **_: None)
    monkeypatch.setattr(full, "POSTGRES_FOLDERS", f"{tmp_path}/*/bin")
    assert full.postgres_programs() == tmp_path / "17" / "bin"


def test_a_profile_that_there_is_not_is_a_mistake(home):
    with pytest.raises(ThroughlineError, match="'ful' is no profile; there are embedded and full"):
        up("ful")


def test_a_check_of_its_own_command_says_what_the_command_said():
    assert ailment(["true"]) == "" and ailment(["sh", "-c", "echo no response; exit 2"]) == "sh says: no response"
    assert "does not answer" in ailment(["/nowhere/pg_isready"])
