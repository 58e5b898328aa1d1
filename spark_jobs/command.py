"""What several commands do with their words: a day, a lake."""

from __future__ import annotations

import datetime as dt
import os
import signal
from typing import Any

from conf.settings import platform
from spark_jobs.errors import ThroughlineError


def day(text: str) -> dt.date:
    """A day given as YYYY-MM-DD; anything else is a clear error."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ThroughlineError(f"{text!r} is no day: write YYYY-MM-DD") from None


def open_lake(root: str) -> Any:
    """The lake through this process's Spark session, made when it is first needed; a SIGTERM stops its work."""
    from spark_jobs.engine.claims import release_all
    from spark_jobs.io.lake import Lake
    from spark_jobs.io.session import session_for

    path = root or platform().lake
    lake = Lake(lambda: session_for(path), path)

    def stop(*_: object) -> None:
        try:
            if lake.has_session:
                if os.environ.get("SPARK_REMOTE"):
                    lake.spark.interruptAll()
                lake.spark.stop()
            release_all()
        finally:
            os._exit(143)

    signal.signal(signal.SIGTERM, stop)
    return lake
