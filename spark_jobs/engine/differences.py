"""How a stored table's columns differ from its contract's, and which of these differences stop a run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from conf.tables import Table, table
from spark_jobs.errors import ContractChangedError
from spark_jobs.io.lake import type_name
from spark_jobs.io.small import open_table

# how Delta's schema writes what Spark SQL calls otherwise
SQL_NAMES = {"long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint"}


@dataclass(frozen=True)
class Difference:
    """One column that a stored table has otherwise than its contract; stored or declared: its type, empty where it has none there."""

    table: str
    column: str
    stored: str
    declared: str

    @property
    def is_harmless(self) -> bool:
        """Whether a run mends it by itself: a column that is new is added when the table is written next."""
        return not self.stored

    def __str__(self) -> str:
        if not self.stored:
            return f"{self.column} ({self.declared}) is new"
        if not self.declared:
            return f"{self.column} ({self.stored}) is stored and no longer declared"
        return f"{self.column} is stored as {self.stored} and declared as {self.declared}"


def sql_type(kind: Any) -> str:
    """A type of Delta's schema as Spark SQL writes it."""
    if isinstance(kind, str):
        return SQL_NAMES.get(kind, kind)
    if kind["type"] == "array":
        return f"array<{sql_type(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{sql_type(kind['keyType'])},{sql_type(kind['valueType'])}>"
    return f"struct<{','.join(f['name'] + ':' + sql_type(f['type']) for f in kind['fields'])}>"


def differences(root: str, contract: Table) -> list[Difference]:
    """How a stored table's columns differ from its contract's; without Spark. A table that is not there differs in nothing."""
    found = open_table(root, contract.name)
    if found is None:
        return []
    stored = {f["name"]: sql_type(f["type"]) for f in json.loads(found.schema().to_json())["fields"]}
    declared = {c.name: type_name(c.type) for c in contract.columns}
    both = dict.fromkeys([*stored, *declared])
    return [
        Difference(contract.name, name, stored.get(name, ""), declared.get(name, ""))
        for name in both
        if type_name(stored.get(name, "")) != declared.get(name, "")
    ]


def refuse_changed(root: str, names: Iterable[str]) -> None:
    """Raises ContractChangedError naming every column that vanished from a table's contract or changed its type there."""
    found = [d for name in names for d in differences(root, table(name)) if not d.is_harmless]
    if found:
        said = "; ".join(f"{d.table}: {d}" for d in found)
        one = f" {found[0].table}" if len({d.table for d in found}) == 1 else ""
        raise ContractChangedError(
            f"{said}. Nothing was built: take the change in conf/tables back, or do `python -m spark_jobs migrate{one}` once"
        )
