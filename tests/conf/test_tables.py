"""A contract of conf/tables: a wrong one is one sentence that names the file, the key and what is allowed."""

import copy
import re

import pytest
import yaml

import conf.tables
from conf.settings import SettingsError
from conf.tables import table, table_names

WHOLE = {
    "table": "gold.visits",
    "grain": "the visits of one day",
    "keys": ["day"],
    "write": {"mode": "replace", "date": "day"},
    "freshness": {"deadline_hours": 30, "column": "day"},
    "columns": {"day": {"type": "date", "nullable": False}, "visits": {"type": "bigint", "unit": "count"}, "site": {"type": "string"}},
    "checks": [
        {"id": "one_row_per_key", "severity": "block", "unique": "keys"},
        {"id": "visits_are_counted", "severity": "warn", "expect": "visits >= 0"},
        {"id": "some", "severity": "warn", "rows": {"min": 1}},
    ],
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """The contract after a change to it."""
    monkeypatch.setattr(conf.tables, "CONF", tmp_path)
    table.cache_clear()
    table_names.cache_clear()
    (tmp_path / "tables/gold").mkdir(parents=True)

    def read(change=lambda contract: None):
        table.cache_clear()
        contract = copy.deepcopy(WHOLE)
        change(contract)
        (tmp_path / "tables/gold/visits.yml").write_text(yaml.safe_dump(contract, sort_keys=False), encoding="utf-8")
        return table("gold.visits")

    yield read
    table.cache_clear()
    table_names.cache_clear()


def at(*place, to):
    """A change that puts a value at a place."""

    def change(contract):
        held = contract
        for key in place[:-1]:
            held = held[key]
        held[place[-1]] = to

    return change


def test_a_contract_that_says_what_it_may_is_right(read):
    assert read().column_names == ("day", "visits", "site")
    assert read(at("write", "dedupe", to={"keep": "last", "by": ["visits", "_extracted_at"]})).write.dedupe["keep"] == "last"
    assert read(at("checks", 0, "unique", to=["day", "site"])).checks[0].unique == ("day", "site")
    assert read(at("columns", "day", "made_of", to=["site", "identifiers"])).columns[0].made_of == ("site", "identifiers")
    assert read(at("conservation", to=["visits"])).conservation == ("visits",)


WRONG = [
    (at("columns", "DAY", to={"type": "string"}), r"columns: \['day'\] are there twice, in capitals or not"),
    (at("columns", "site", to={"type": "string", "pii": "verry"}), r"columns: pii is 'verry'; it must be direct, indirect"),
    (at("columns", "site", to={"type": "string", "made_of": []}), r"columns.site: made_of is \[\]; a column that is never null may have"),
    (at("columns", "day", "made_of", to=["dy"]), r"columns.day: made_of is \['dy'\]; a column that is never null may have some of \['day'"),
    (at("columns", "site", to={"type": 5}), r"columns.site: type is 5; it must be of type str"),
    (at("columns", "site", to={"typ": "string"}), r"columns.site: unknown keys \['typ'\]"),
    (at("columns", to=["day"]), r"columns: expected a mapping by names"),
    (at("keys", to=[]), r"keys is empty; a table that is written by replace has one or more of \['day'"),
    (at("keys", to="day"), r"keys is 'day'; it must be of type tuple"),
    (at("keys", to=["dy"]), r"\['dy'\] are named in keys or write but are no columns"),
    (at("write", "mode", to="overwrite"), r"write.mode is 'overwrite'; allowed are"),
    (at("write", "date", to="site"), r"write.date is site, a column of type string; it must be a date"),
    (
        at("write", "dedupe", to={"keep": "lst", "by": ["visits"]}),
        r"write.dedupe is .*'lst'.*it must be \{keep: first or last, by: \[columns\]\}",
    ),
    (at("write", "dedupe", to={"keep": "last"}), r"write.dedupe is .*it must be"),
    (at("write", "dedupe", to={"keep": "last", "by": ["visitz"]}), r"write.dedupe.by names \['visitz'\]; there are \['day'"),
    (at("freshness", to={"deadline_hour": 30}), r"freshness: unknown keys \['deadline_hour'\]; allowed are"),
    (at("freshness", "deadline_hours", to="soon"), r"freshness.deadline_hours is 'soon'; it must be a number of hours"),
    (at("freshness", "column", to="dy"), r"freshness.column is 'dy'; there are \['day'"),
    (at("retention_days", to="a year"), r"retention_days is 'a year'; it must be of type int"),
    (at("checks", to=5), r"checks is 5; it must be a list"),
    (at("checks", 0, to="one_row_per_key"), r"checks: expected a mapping by names, got 'one_row_per_key'"),
    (at("checks", 0, "sevrity", to="warn"), r"checks.one_row_per_key: unknown keys \['sevrity'\]"),
    (at("checks", 0, "severity", to="warning"), r"check one_row_per_key: severity is 'warning'; allowed are"),
    (at("checks", 1, "id", to="one_row_per_key"), r"checks: the ids \['one_row_per_key'\] are there twice"),
    (at("checks", 0, "unique", to="key"), r"check one_row_per_key: unique is 'key'; it must be keys, or a list of \['day'"),
    (at("checks", 0, "unique", to=["dy"]), r"check one_row_per_key: unique is \('dy',\); it must be keys"),
    (at("checks", 2, "rows", to={"minimum": 1}), r"check some: rows is \{'minimum': 1\}; it must be a mapping of min and max"),
    (at("checks", 2, "rows", to={"min": "one"}), r"check some: rows is \{'min': 'one'\}; it must be"),
    (at("checks", 2, "rows", to=[1]), r"checks.some: rows is \(1,\); it must be of type Mapping"),
    (at("checks", 1, "max_share", to=7), r"check visits_are_counted: max_share is 7; it must be a share from 0 to 1"),
    (at("checks", 1, "expect", to="day <= current_date()"), r"check visits_are_counted: expect asks for current_date"),
    (at("conservation", to=["visitz"]), r"conservation names 'visitz'; there are \['day'"),
    (
        at("conservation", to=[{"input": "events", "colum": "x", "equals": "visits"}]),
        r"conservation has .*it must be a column, or a mapping of input",
    ),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=range(len(WRONG)))
def test_what_a_contract_must_not_say_is_one_sentence_with_its_file(read, change, said):
    with pytest.raises(SettingsError) as raised:
        read(change)
    assert re.search(r"tables/gold/visits\.yml: .*" + said, str(raised.value)), str(raised.value)
    assert "\n" not in str(raised.value)
