"""The front door of Airflow's pages knows its own names."""

from dags.plugins.report import FrontDoor, own_hosts


def refusal(host, *urls):
    return FrontDoor(None, own_hosts(*urls)).refusal({"type": "http", "method": "POST", "headers": [(b"host", host.encode())]})


def test_it_answers_to_its_address_for_people_and_to_the_one_for_tasks_and_to_no_other():
    urls = ("http://127.0.0.1:8080", "http://airflow-api-server:8081/execution/")
    for name in ("127.0.0.1:8080", "localhost:8080", "airflow-api-server:8081"):
        assert refusal(name, *urls) == ""
    for name in ("airflow-api-server:8080", "evil.example:8080", "127.0.0.1:1", ""):
        assert "answers to" in refusal(name, *urls)
