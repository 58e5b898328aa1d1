"""A service that ends is told, started again, and given up in words; a client of a dead Spark server ends with one sentence."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from conf.settings import REPOSITORY
from spark_jobs.embedded import healthy, services
from tests.whole import worlds

pytestmark = pytest.mark.timeout(900)
# asks the server for something, waits until it is told to ask again
CLIENT = """
import sys
from spark_jobs import __main__ as command
from spark_jobs.io.session import get_session

@command.app.command("ask")
def ask():
    spark = get_session()
    print("answered", spark.range(3).count(), flush=True)
    sys.stdin.readline()
    print("answered", spark.range(4).count(), flush=True)

sys.argv = ["spark_jobs", "ask"]
command.main()
"""


@pytest.fixture(scope="module")
def starter(tmp_path_factory):
    """(process of `up`, its home, its log): everything is up."""
    home = tmp_path_factory.mktemp("up") / "home"
    log = home.with_name("up.log")
    env = {**os.environ, **worlds.FEW_ROWS_JVM, "THROUGHLINE_HOME": str(home), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "spark_jobs", "up"], cwd=REPOSITORY, env=env, stdout=out, stderr=out)
    try:
        wait_until(lambda: "Airflow    http" in log.read_text() or process.poll() is not None, 180)
        assert process.poll() is None, log.read_text()
        yield process, home, log
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        process.kill()


def wait_until(is_so, seconds):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.3)


def command(home, *words):
    env = {**os.environ, "THROUGHLINE_HOME": str(home), "COLUMNS": "300"}
    return subprocess.run([sys.executable, "-m", "spark_jobs", *words], cwd=REPOSITORY, env=env, capture_output=True, text=True)


def state(monkeypatch, home):
    monkeypatch.setenv("THROUGHLINE_HOME", str(home))
    return services.running_state()


def wait_until_up(monkeypatch, home, seconds):
    """Asked in this process: the command, asked again and again, would take the CPU from what is to come up."""
    wait_until(lambda: not any(services.ailments(state(monkeypatch, home)).values()), seconds)
    assert "services   up: Airflow" in command(home, "status").stdout


def ask(home, port):
    env = {
        **os.environ,
        "THROUGHLINE_HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "SPARK_REMOTE": f"sc://127.0.0.1:{port}/;user_id=throughline",
    }
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", CLIENT], cwd=REPOSITORY, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_a_killed_spark_server_is_told_started_again_and_its_client_says_so(starter, monkeypatch):
    process, home, log = starter
    found = state(monkeypatch, home)
    pid, port = found["pids"]["spark"], found["ports"]["connect"]
    assert command(home, "status").stdout.splitlines()[1].startswith("services   up: Airflow")
    client = ask(home, port)
    assert client.stdout.readline() == "answered 3\n", client.communicate()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not healthy.is_listening(port), 20)
        said = command(home, "status").stdout
        assert "services   NOT WELL: spark;" in said and f"spark: process {pid} has ended" in said and "spark.log" in said
    finally:
        os.kill(process.pid, signal.SIGCONT)
    client.stdin.write("\n")
    client.stdin.flush()
    began = time.monotonic()
    out, errors = client.communicate(timeout=180)
    assert client.returncode == 4 and out == "", (out, errors)
    assert "LostServerError: the Spark server at sc://127.0.0.1" in errors and "Traceback" not in errors
    assert time.monotonic() - began < 120
    wait_until(lambda: healthy.is_listening(port), 90)
    again = state(monkeypatch, home)
    assert again["pids"]["spark"] != pid and again["ports"]["connect"] == port
    assert "spark ended with code -9 and is started again" in log.read_text()
    wait_until_up(monkeypatch, home, 60)
    client = ask(home, port)
    assert client.communicate("\n", timeout=120)[0] == "answered 3\nanswered 4\n"


@pytest.mark.parametrize("name", ["airflow-dag-processor", "airflow-api-server", "airflow-scheduler"])
def test_a_killed_part_of_airflow_is_started_again(starter, monkeypatch, name):
    _, home, log = starter
    pid = state(monkeypatch, home)["pids"][name]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: f"{name} ended with code -9 and is started again" in log.read_text(), 20)
    wait_until_up(monkeypatch, home, 120)
    assert state(monkeypatch, home)["pids"][name] != pid


def test_what_ends_again_and_again_is_given_up_in_words(starter, monkeypatch):
    process, home, log = starter

    def pid_now():
        return (state(monkeypatch, home) or {"pids": {}})["pids"].get("airflow-dag-processor")

    for _ in range(services.RESTARTS + 1):
        if (pid := pid_now()) is None:
            break
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: pid_now() != pid or process.poll() is not None, 30)
    assert process.wait(timeout=60) == 2
    said = log.read_text()
    assert f"airflow-dag-processor ended with code -9 after {services.RESTARTS} restarts within 10 minutes" in said
    assert "airflow-dag-processor.log ends with" in said and "Traceback" not in said.split("ServiceError: ")[0]
    assert state(monkeypatch, home) is None and "services   down" in command(home, "status").stdout


def test_a_client_without_any_server_ends_within_a_minute(tmp_path):
    port = next(one for one in range(21_000, 22_000) if services.is_free(one))
    began = time.monotonic()
    client = ask(tmp_path, port)
    _, errors = client.communicate(timeout=120)
    assert client.returncode == 4 and "does not answer" in errors and "Traceback" not in errors
    assert time.monotonic() - began < 75
