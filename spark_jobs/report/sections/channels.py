"""Which channel earned how much, under every model."""

from __future__ import annotations

from typing import Any

from conf.names import UNATTRIBUTED
from spark_jobs.report.facts import Facts
from spark_jobs.report.palette import REST_COLOUR

TABLES = ()


def view(facts: Facts) -> dict[str, Any]:
    """heat: per channel its cells {value, alpha}, one per model, and by how much the models differ; the bars are the facts' own."""
    models, by_model = facts.models, facts.by_model
    # the channels of the first model in its order, then what only others have; what is not attributed comes last
    channels = list(dict.fromkeys(bar["channel"] for model in models for bar in by_model[model]["bars"]))
    channels.sort(key=lambda channel: channel == UNATTRIBUTED)
    cells = {(model, bar["channel"]): float(bar["revenue"]) for model in models for bar in by_model[model]["bars"]}
    top = max((value for (_, channel), value in cells.items() if channel != UNATTRIBUTED), default=0) or 1
    heat = []
    for channel in channels:
        values = [cells.get((model, channel)) for model in models]
        known = [value for value in values if value is not None]
        alphas = [0.0 if channel == UNATTRIBUTED else round(max(value or 0, 0) / top * 0.55, 3) for value in values]
        heat.append({
            "channel": channel,
            "colour": facts.colours.get(channel, REST_COLOUR),
            "cells": [{"value": value, "alpha": alpha} for value, alpha in zip(values, alphas)],
            "spread": max(known) - min(known) if len(known) > 1 else None,
        })  # fmt: skip
    return {"heat": heat}
