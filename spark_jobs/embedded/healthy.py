"""Whether a service answers, asked at a place: the health checks of both profiles and of the image.

    python -m spark_jobs.embedded.healthy PLACE…

A place is `tcp://HOST:PORT` (something listens) or `http://HOST:PORT/PATH#PART` (Airflow's page of its own health calls PART healthy). Without places
it asks all that services.json of THROUGHLINE_HOME names. Nothing but Python's own library is imported: a container asks every few seconds.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COMMAND = ("python", "-m", "spark_jobs.embedded.healthy")
MONITOR = "/api/v2/monitor/health"


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def get_json(url: str) -> Any:
    # never through a proxy: it is this machine, or one beside it
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
        return json.load(answer)


def airflow_health(url: str) -> dict[str, str]:
    """The state of each part of Airflow by its own word; nothing when it does not answer."""
    try:
        return {part: said["status"] for part, said in get_json(url).items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def ailment(places: Sequence[str]) -> str:
    """What is wrong at the places, "" when each answers."""
    asked = [urlsplit(place) for place in places]
    silent = [str(at.port) for at in asked if not is_listening(at.port or 0, at.hostname or "")]
    if silent:
        return f"nothing answers on port {', '.join(silent)}"
    parts = {at.fragment: airflow_health(at._replace(fragment="").geturl()).get(at.fragment) for at in asked if at.scheme == "http"}
    return "; ".join(f"Airflow says that it is {state or 'not there'}" for state in parts.values() if state != "healthy")


def noted_places() -> list[str]:
    """The places of the services that run for this home, those that are asked by a command of their own left out."""
    state = json.loads(Path(os.environ["THROUGHLINE_HOME"], "services.json").read_text(encoding="utf-8"))
    return [place for words in state["healthy"].values() if tuple(words[: len(COMMAND)]) == COMMAND for place in words[len(COMMAND) :]]


if __name__ == "__main__":
    try:
        sys.exit(ailment(sys.argv[1:] or noted_places()) or 0)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"no services are noted: {error!r}")
