"""What is said when a task ends badly."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)


def say_what_failed(context: dict[str, Any]) -> None:
    """One log line for the on-call person: what failed, how often it was tried, and where to look."""
    ti = context["task_instance"]
    log.error(
        "%s.%s of run %s failed in try %s: %s. The report names the check and a sample; `python -m spark_jobs quarantine list` shows what was set aside.",
        ti.dag_id,
        ti.task_id,
        ti.run_id,
        ti.try_number,
        context.get("exception"),
    )
