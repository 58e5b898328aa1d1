"""`python -m spark_jobs check`: each mistake in a declaration is one sentence before anything runs, and nothing is kept."""

import dataclasses
import re

import pytest
import yaml

from conf import settings
from conf.settings import SettingsError
from conf.tables import Check, table
from spark_jobs.engine import check, runner
from spark_jobs.engine.check import mistakes
from spark_jobs.errors import SelectionError
from spark_jobs.io.lake import Lake
from tests.real.reports import conf_with


def no_session():
    raise AssertionError("no session is needed for this")


def with_mapping(change):
    """The shop's order lines with one column mapped otherwise."""
    said = yaml.safe_load((settings.CONF / "mappings/sandbox_shop.yml").read_text(encoding="utf-8"))
    said["streams"]["order_lines"]["tables"]["silver.order_lines"]["columns"] |= change
    source = yaml.safe_load((settings.CONF / "sources/sandbox_shop.yml").read_text(encoding="utf-8"))
    return source, said


def test_what_is_right_is_said_to_be_right_and_leaves_nothing(spark, home):
    assert mistakes(["silver.order_lines", "journeys.sessions", "gold.orders_daily"], lambda: spark) == []
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quantity": "quantiti"}, r"conf/mappings/sandbox_shop\.yml, silver\.order_lines: .*quantiti"),
        ({"quantity": "no_such_function(quantity)"}, r"conf/mappings/sandbox_shop\.yml, silver\.order_lines: .*no_such_function"),
        ({"quantity": "quantity +"}, r"conf/mappings/sandbox_shop\.yml, silver\.order_lines: .*PARSE_SYNTAX_ERROR"),
    ],
)
def test_a_wrong_mapping_is_one_sentence_with_its_file(spark, home, tmp_path, change, said):
    with conf_with(tmp_path / "conf", with_mapping(change)):
        (found,) = mistakes(["silver.order_lines"], lambda: spark)
    assert re.search(said, found), found


def test_a_check_of_a_column_that_there_is_not_names_the_contract(spark, home, monkeypatch):
    contract = dataclasses.replace(table("gold.orders_daily"), checks=(Check("odd", "block", expect="orderz >= 0"),))
    monkeypatch.setattr(runner, "table", lambda name: contract if name == "gold.orders_daily" else table(name))
    (found,) = mistakes(["gold.orders_daily"], lambda: spark)
    assert "gold.orders_daily: [UNRESOLVED_COLUMN" in found and "look in conf/tables/gold/orders_daily.yml" in found


def test_what_check_would_have_named_ends_a_run_as_a_mistake_that_no_retry_mends(spark, home, monkeypatch):
    contract = dataclasses.replace(table("gold.orders_daily"), checks=(Check("odd", "block", expect="orderz >= 0"),))
    monkeypatch.setattr(runner, "table", lambda name: contract if name == "gold.orders_daily" else table(name))
    with pytest.raises(SettingsError, match=r"UNRESOLVED_COLUMN.*orderz.*look in conf/tables/gold/orders_daily\.yml"):
        runner.Runner(Lake(spark, str(home / "lake")), "test").run(["gold.orders_daily"], check.DAY)


def test_a_wrong_file_needs_no_spark_and_is_named_once(home, tmp_path):
    with conf_with(tmp_path / "conf"):
        (tmp_path / "conf/sources/wrong.yml").write_text("source: wrong\nconector: file_drop\n", encoding="utf-8")
        (found,) = mistakes([], no_session)
        assert "wrong.yml: unknown keys ['conector']" in found
        assert mistakes(["wrong"], no_session) == [found]


def test_one_source_is_tried_with_its_own_tables_alone(spark, home, monkeypatch):
    tried = []
    monkeypatch.setattr(check, "tried", lambda _, job, source, days: tried.append((job.table, source)))
    assert mistakes(["sandbox_shop"], lambda: spark) == []
    assert {source for _, source in tried} == {"sandbox_shop"} and "silver.order_lines" in {name for name, _ in tried}


def test_what_is_neither_table_nor_source_is_named(home):
    with pytest.raises(SelectionError, match="nothing is called 'sandbox_shap'"):
        mistakes(["sandbox_shap"], no_session)


def test_the_key_of_the_home_is_not_touched(spark, home):
    mistakes(["silver.contacts"], lambda: spark)
    assert not (home / "vault").exists()
