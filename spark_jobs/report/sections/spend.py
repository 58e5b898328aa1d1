"""What each channel cost and what came back."""

from __future__ import annotations

from typing import Any

from spark_jobs.report.facts import Facts

TABLES = ()


def view(facts: Facts) -> dict[str, Any]:
    """Nothing beside the facts: each model's `earned` and `paid` channels."""
    return {}
