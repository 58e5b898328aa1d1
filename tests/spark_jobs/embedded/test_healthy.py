"""The health check asks real ports; as a command it ends with 0 when all is well."""

import http.server
import json
import socket
import subprocess
import sys
import threading

import pytest

from conf.settings import REPOSITORY
from spark_jobs.embedded import healthy
from spark_jobs.embedded.services import ailments


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return port


@pytest.fixture
def airflow():
    """The port of a page that says of itself what Airflow's would."""
    said = json.dumps({"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}, "triggerer": {"status": None}})

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_port_that_answers_is_well_and_another_is_named(listening, silent):
    assert healthy.ailment([f"tcp://127.0.0.1:{listening}"]) == ""
    assert healthy.ailment([f"tcp://127.0.0.1:{listening}", f"tcp://127.0.0.1:{silent}"]) == f"nothing answers on port {silent}"


@pytest.mark.parametrize(
    ("part", "said"),
    [("metadatabase", ""), ("scheduler", "Airflow says that it is unhealthy"), ("triggerer", "Airflow says that it is not there")],
)
def test_a_part_of_airflow_is_as_well_as_airflow_says(airflow, part, said):
    assert healthy.ailment([f"http://127.0.0.1:{airflow}{healthy.MONITOR}#{part}"]) == said


def test_what_answers_but_not_as_airflow_is_not_there(listening):
    assert healthy.airflow_health("http://127.0.0.1:1/") == {}


def test_the_command_asks_the_places_it_is_given_or_those_of_the_home(home, listening, silent):
    def ask(*places):
        command = [sys.executable, *healthy.COMMAND[1:], *places]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert ask(f"tcp://127.0.0.1:{listening}").returncode == 0
    assert ask(f"tcp://127.0.0.1:{silent}").stderr == f"nothing answers on port {silent}\n"
    assert ask().returncode and "no services are noted" in ask().stderr
    noted = {"spark": [*healthy.COMMAND, f"tcp://127.0.0.1:{listening}"], "postgres": ["pg_isready"]}
    (home / "services.json").write_text(json.dumps({"healthy": noted}))
    assert ask().returncode == 0
    noted["spark"][-1] = f"tcp://127.0.0.1:{silent}"
    (home / "services.json").write_text(json.dumps({"healthy": noted}))
    assert ask().returncode == 1


def test_a_note_of_an_earlier_release_names_who_has_ended():
    assert ailments({"pids": {"spark": 2**22 + 1}}) == {"spark": f"process {2**22 + 1} has ended"}
