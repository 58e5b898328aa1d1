"""What a service is, whichever profile it belongs to."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conf.settings import REPOSITORY, home
from spark_jobs.errors import ThroughlineError

HOST = "127.0.0.1"
BIN = Path(sys.prefix, "bin")
# where an image has them
REPOSITORY_THERE, HOME_THERE = "/opt/throughline", "/var/lib/throughline"
AIRFLOW_ENV = REPOSITORY / "conf" / "airflow.env"


class ServiceError(ThroughlineError):
    """A service did not start; the message names its log and shows its end."""


@dataclass(frozen=True)
class Declaration:
    """What a service is.

    command: words, of which the first is looked for in PATH of environment. healthy: a command that ends with 0 when the service is well; a service
    without one is done when it has ended with 0. needs: the services that have to be well, or done, before it begins.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    healthy: Sequence[str] = ()
    needs: Sequence[str] = ()
    stop_signal: signal.Signals = signal.SIGTERM


def here(text: str, mounted: Mapping[str, str] | None = None) -> str:
    """A text of docker/ or conf/airflow.env with this machine's paths in place of the image's. mounted: those that a service has beside."""
    places = {REPOSITORY_THERE: str(REPOSITORY), HOME_THERE: str(home()), **(mounted or {})}
    longest_first = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))
    return re.sub(longest_first, lambda found: places[found[0]], text)


def env_file(path: Path) -> dict[str, str]:
    """NAME=value lines; the others are comments."""
    lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return {name: here(value) for name, _, value in lines}


# --- Spark ----------------------------------------------------------------------------------------------------------------
