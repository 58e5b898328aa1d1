"""What tables, layers and their places are called: told once, for every program."""

from __future__ import annotations

# made from the sources' records, and in turn from each other; those above silver are everybody's, not one source's
LAYERS = ("silver", "identity", "journeys", "attribution", "segments", "gold")
ABOVE_SILVER = LAYERS[1:]
# the channel of revenue that no touch earned
UNATTRIBUTED = "Unattributed"


def place_of(table: str) -> str:
    """Where a table is, below whatever holds tables: silver/events."""
    return table.replace(".", "/")


def contract_of(table: str) -> str:
    """The file that declares a table."""
    return f"conf/tables/{place_of(table)}.yml"


def code_of(table: str) -> str:
    """The file of the job that makes a table."""
    return f"spark_jobs/{place_of(table)}.py"


def bronze_name(source: str, stream: str) -> str:
    """The bronze table of a source's stream."""
    return f"bronze.{source}__{stream}"


def stream_of(bronze: str) -> tuple[str, str]:
    """The source and the stream of a bronze table; "" where the name has none."""
    source, _, stream = bronze.removeprefix("bronze.").partition("__")
    return source, stream


def quarantine_of(table: str) -> str:
    """The table beside a table that has the rows set aside."""
    return f"{table}__quarantine"
