"""What whole lakes are compared by tells other rows apart, and nothing else."""

from types import SimpleNamespace

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf.tables import table
from spark_jobs.io.small import arrow_schema
from tests.whole import worlds

ROWS = [
    {"event_id": "e1", "event_name": "a", "consent": [("x", True), ("y", False)], "_source_file": "one"},
    {"event_id": "e2", "event_name": None, "consent": None},
]


def hash_of(folder, rows):
    # what these rows do not say is null here, in whatever column
    schema = pa.schema([(field.name, field.type) for field in arrow_schema(table("silver.events"))])
    (folder / "silver").mkdir(parents=True)
    write_deltalake(str(folder / "silver/events"), pa.Table.from_pylist(rows, schema=schema))
    return worlds.hashes(SimpleNamespace(root=str(folder)))["silver.events"]


@pytest.mark.parametrize(
    ("rows", "is_same"),
    [
        (ROWS[::-1], True),
        ([{**ROWS[0], "consent": ROWS[0]["consent"][::-1]}, ROWS[1]], True),
        ([{**ROWS[0], "_source_file": "another"}, ROWS[1]], True),
        ([ROWS[0], {**ROWS[1], "event_name": ""}], False),
        ([{**ROWS[0], "consent": [("x", True), ("y", True)]}, ROWS[1]], False),
        ([*ROWS, ROWS[1]], False),
    ],
    ids=["another order", "a map's order", "another file", "a null that is a text", "a map's value", "a row twice"],
)
def test_equal_rows_have_equal_hashes_and_others_have_not(tmp_path, rows, is_same):
    assert (hash_of(tmp_path / "one", ROWS) == hash_of(tmp_path / "other", rows)) == is_same
