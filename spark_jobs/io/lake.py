"""The lake: where a table lies, how it is created, read, and at which version it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, functions as F
from pyspark.sql.types import StructType

from conf.names import contract_of, place_of
from conf.settings import made
from conf.tables import Table, table
from spark_jobs.errors import MissingColumnsError
from spark_jobs.functions.plans import FEW_ROWS, held
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import alone, create_table, is_read_here, open_table, query

STARTING = threading.Lock()
# Without deletion vectors 5,000 changed keys in a table of 10 M rows copy nearly all of it; gold stays readable by everyone.
DELETION_VECTORS = ("identity", "journeys", "attribution")
# what Delta says where no table is; the last one of a folder that is not there, as DESCRIBE HISTORY finds it
NO_TABLE = ("DELTA_TABLE_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST", "PATH_NOT_FOUND", "DELTA_TABLE_ONLY_OPERATION")


def quoted(value: str) -> str:
    """A SQL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def bounds(contract: Table, source: str | None, days: Range | None, prefix: str = "") -> str | None:
    """The literal predicate of the rows that one run of a table may touch; None = all of it. days: None = whenever."""
    parts = []
    if contract.write.partition_by and source:
        parts.append(f"{prefix}source = {quoted(source)}")
    if contract.write.date and days:
        parts.append(days.where(f"{prefix}{contract.write.date}"))
    return " AND ".join(parts) or None


def type_name(kind: str) -> str:
    """One spelling of a Spark SQL type."""
    return kind.lower().replace(" ", "").replace("integer", "int")


def skipped_by(contract: Table) -> list[str]:
    """The columns by which readers leave files out: of these alone a write measures least and greatest, not of the first 32."""
    write = contract.write
    named = [*([write.date] if write.date else []), *write.cluster_by, *(() if write.date or write.cluster_by else contract.keys[:1])]
    return [name for name in dict.fromkeys(named) if name not in write.partition_by]


def is_clustered(contract: Table) -> bool:
    """Whether the table lies in clusters: one that is partitioned cannot."""
    return bool(contract.write.cluster_by) and not contract.write.partition_by


def properties_of(contract: Table, is_few: bool = False) -> dict[str, str]:
    """A new table's properties. Of few rows a file is as soon written again as marked."""
    properties = {
        "delta.enableDeletionVectors": str(contract.layer in DELETION_VECTORS and not is_few).lower(),
        "delta.enableChangeDataFeed": str(contract.layer not in ("gold", "ops")).lower(),
    }
    if skipped_by(contract):
        properties["delta.dataSkippingStatsColumns"] = ",".join(skipped_by(contract))
    return properties


def layout_sql(contract: Table) -> str:
    """What follows the columns in a CREATE TABLE: how the table lies on disk, and its properties."""
    write = contract.write
    layout = f"PARTITIONED BY ({', '.join(write.partition_by)})" if write.partition_by else ""
    if is_clustered(contract):
        layout = f"CLUSTER BY ({', '.join(write.cluster_by)})"
    listed = ", ".join(f"'{k}' = '{v}'" for k, v in properties_of(contract).items())
    return f"USING delta {layout} TBLPROPERTIES ({listed})"


@dataclass(frozen=True)
class Lake:
    """All tables below one root, through one Spark session, which may be given as what makes it: work that finds nothing to do makes none."""

    session: SparkSession | Callable[[], SparkSession]
    root: str

    @cached_property
    def spark(self) -> SparkSession:
        with STARTING:
            return self.session() if callable(self.session) else self.session

    @property
    def has_session(self) -> bool:
        """Whether the session was needed already."""
        return "spark" in vars(self)

    @cached_property
    def is_local(self) -> bool:
        return "://" not in self.root

    @cached_property
    def is_few(self) -> bool:
        """Whether all tables hold so few rows that Spark's planning of their files costs more than reading and writing them."""
        return self.is_local and bool(self.spark.conf.get(FEW_ROWS, ""))

    def path(self, name: str) -> str:
        return f"{self.root}/{place_of(name)}"

    def sql_name(self, name: str) -> str:
        return f"delta.`{self.path(name)}`"

    def version(self, name: str) -> int:
        """The table's newest version; -1 when there is no table."""
        if self.is_local:
            log = Path(self.path(name), "_delta_log")
            versions = [int(p.name[:20]) for p in log.glob("[0-9]*.json")] if log.is_dir() else []
            return max(versions, default=-1)
        try:
            return int(self.spark.sql(f"DESCRIBE HISTORY {self.sql_name(name)} LIMIT 1").first()["version"])  # type: ignore[index]
        except Exception as error:
            if any(word in str(error) for word in NO_TABLE):
                return -1
            raise

    def exists(self, name: str) -> bool:
        return self.version(name) >= 0

    def create(self, contract: Table, is_few: bool | None = None) -> bool:
        """The table as its contract says, empty, unless it is there already. Returns whether this made it: of several that make it at
        once one does.

        is_few: whether it will hold few rows at first, where that is known without a session. Such a table lies in no clusters until
        maintenance finds that it has grown.
        """
        if self.version(contract.name) > 0:
            return False
        # the first commit is on disk before its maker's Spark knows the table
        with alone(self.root, contract.name):
            return not self.exists(contract.name) and self._create(contract, self.is_few if is_few is None else is_few)

    def _create(self, contract: Table, is_few: bool) -> bool:
        name = self.sql_name(contract.name)
        if self.is_local:
            made(Path(self.root))
        if is_few:
            create_table(self.root, contract, properties_of(contract, is_few))
            return True
        try:
            self.spark.sql(f"CREATE TABLE IF NOT EXISTS {name} ({contract.schema}) {layout_sql(contract)}")
        except Exception:
            # another machine's run may create the same table at the same moment: the loser finds it there
            if not self.exists(contract.name):
                raise
            return False
        return True

    def read(self, name: str, where: str | None = None) -> DataFrame:
        """The rows of a declared table."""
        return self.rows(table(name), where)

    def rows(self, contract: Table, where: str | None = None) -> DataFrame:
        """The table's rows as its contract types them; an absent table is empty, an absent nullable column is NULL."""
        name = contract.name
        version = self.version(name)
        if version == 0:
            # somebody may be making it: the first commit is on disk before its maker's Spark knows the table
            with alone(self.root, name):
                pass
        if version < 0:
            return self.spark.createDataFrame([], contract.schema)
        rows = self.stored(name)
        types = {f.name: f.dataType.simpleString() for f in rows.schema.fields}
        missing = [c.name for c in contract.columns if c.name not in types and not c.nullable]
        if missing:
            raise MissingColumnsError(f"{self.path(name)}: the columns {missing} are missing; {contract_of(name)} says they are never null")
        selected = []
        for c in contract.columns:
            if c.name not in types:
                selected.append(F.lit(None).cast(c.type).alias(c.name))
            elif type_name(types[c.name]) == type_name(c.type):
                selected.append(F.col(c.name))
            else:
                selected.append(F.col(c.name).cast(c.type).alias(c.name))
        rows = rows.select(*selected)
        return rows.where(where) if where else rows

    def stored(self, name: str) -> DataFrame:
        """The rows and columns of a table that is there, as they are stored."""
        found = open_table(self.root, name) if self.is_few else None
        if found is None or not is_read_here(found):
            return self.spark.read.format("delta").load(self.path(name))
        return held(self.spark, query(found), StructType.fromJson(json.loads(found.schema().to_json())))
