"""Assets: every table under its one name, so that Airflow's asset view is the lake's map."""

from __future__ import annotations

from airflow.sdk import Asset

from conf.names import bronze_name, place_of
from conf.settings import source
from conf.tables import table_names


def assets(names: tuple[str, ...] | list[str]) -> list[Asset]:
    """One asset per table name."""
    return [Asset(name=name, uri=f"throughline://lake/{place_of(name)}", group="throughline") for name in names]


def assets_of_layer(layer: str) -> list[Asset]:
    """The tables of one layer."""
    return assets([name for name in table_names() if name.split(".")[0] == layer])


def bronze_assets(source_name: str) -> list[Asset]:
    """A source's bronze tables, one per stream."""
    return assets([bronze_name(source_name, stream) for stream in sorted(source(source_name).streams)])
