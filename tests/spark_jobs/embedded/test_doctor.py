"""What must be right before anything starts is said in one sentence with its fix."""

import datetime as dt
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from conf.settings import REPOSITORY, source
from spark_jobs.embedded import doctor, services
from spark_jobs.embedded.doctor import disk_finding, findings, java_finding, memory_finding, version_findings
from spark_jobs.embedded.services import is_free, pick_ports, running_state, spark_command

GOOD = {"pyspark": "4.2.0", "pyspark-client": "4.2.0", "delta-spark": "4.4.0"}


@pytest.mark.parametrize("version", ["17.0.15", "21.0.2"])
def test_java_17_and_21_are_right(version):
    assert java_finding(version).fix == ""


@pytest.mark.parametrize("version", ["", "11.0.2", "25"])
def test_no_java_or_another_one_says_what_to_install(version):
    assert "openjdk-17-jre-headless" in java_finding(version).fix


def test_a_matching_set_of_versions_needs_no_fix():
    assert not [f for f in version_findings(GOOD, "4.4.0") if f.fix]


def test_a_delta_jar_that_does_not_fit_names_both_versions():
    (bad,) = [f for f in version_findings(GOOD, "4.4.1") if f.fix]
    assert "4.4.0" in bad.fix and "4.4.1" in bad.fix


def test_a_client_of_another_release_is_found():
    (bad,) = [f for f in version_findings({**GOOD, "pyspark-client": "4.1.0"}, "4.4.0") if f.fix]
    assert "4.1.0" in bad.fix


def test_too_little_disk_or_memory_is_refused(home, monkeypatch):
    for free, is_refused in ((1, True), (6, False)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free * 1e9))
        assert bool(disk_finding(home, str(home / "lake")).fix) == is_refused
    assert memory_finding(2, 6).fix and not memory_finding(8, 6).fix


def test_this_environment_passes(home):
    assert [f.name for f in findings() if f.fix and f.is_fatal and f.name not in ("disk", "memory")] == []


def test_a_taken_port_is_replaced_and_said(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(services, "PREFERRED_PORTS", {"airflow": port})
        said: list[str] = []
        chosen = pick_ports(said.append)
        assert not is_free(port)
        assert chosen["airflow"] != port and str(port) in said[0] and str(chosen["airflow"]) in said[0]


def test_a_port_that_another_start_has_picked_is_taken_before_anything_listens_there(monkeypatch):
    monkeypatch.setattr(services, "PREFERRED_PORTS", {"connect": 43210, "jdbc": 43211})
    picking = "from spark_jobs.embedded import services; import sys; held = []; print(services.pick_ports(print, {'a': 43210}, held)); sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", picking], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "{'a': 43210}\n"
        assert pick_ports(lambda _: None) == {"connect": 43211, "jdbc": 43212}
        other.communicate()
    assert pick_ports(lambda _: None) == {"connect": 43210, "jdbc": 43211}


def test_the_server_listens_on_this_machine_only():
    words = spark_command({"connect": 15002, "jdbc": 10000})
    assert "spark.connect.grpc.binding.address=127.0.0.1" in words
    assert "spark.hadoop.hive.server2.thrift.bind.host=127.0.0.1" in words


def test_a_state_file_of_a_dead_starter_is_no_running_service(home):
    services.state_file().write_text('{"starter_pid": 999999999, "starter_created": 0, "ports": {}, "mark": "x"}')
    assert running_state() is None
    assert services.stop_leftovers() is False
    assert not services.state_file().exists()


def test_the_connections_of_every_api_are_listed_and_a_version_that_ends_soon_is_said(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_MAIN", "{}")
    end = source("klaviyo").settings["sunset"]
    early = {one.name: one for one in doctor.connection_findings((), end - dt.timedelta(days=doctor.SUNSET_DAYS))}
    assert early["connection klaviyo_main"] == doctor.Finding("connection klaviyo_main", "in this environment", "", is_fatal=False)
    assert "klaviyo's API" not in early
    monkeypatch.delenv("AIRFLOW_CONN_KLAVIYO_MAIN")
    missing = {one.name: one for one in doctor.connection_findings((), end)}["connection klaviyo_main"]
    assert missing.seen == "not there" and "AIRFLOW_CONN_KLAVIYO_MAIN" in missing.fix and not missing.is_fatal
    assert {one.name: one for one in doctor.connection_findings({"klaviyo_main"}, end)}["connection klaviyo_main"].seen == "in Airflow"
    for day, word in ((end - dt.timedelta(days=1), "ends"), (end + dt.timedelta(days=1), "ended")):
        told = {one.name: one for one in doctor.connection_findings((), day)}["klaviyo's API"]
        assert word in told.seen and "conf/sources/klaviyo.yml" in told.fix
