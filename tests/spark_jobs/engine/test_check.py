"""`python -m spark_jobs check`: each mistake in a declaration is one sentence before anything runs, and nothing is kept."""

import dataclasses
import re
import shutil

import pytest
import yaml

from conf import settings
from conf.settings import SettingsError
from conf.tables import Check, Field, table
from spark_jobs.engine import check, runner
from spark_jobs.engine.check import mistakes
from spark_jobs.errors import SelectionError, ThroughlineError
from spark_jobs.io.lake import Lake
from spark_jobs.job import jobs
from tests.real.reports import conf_with


def no_session():
    raise AssertionError("no session is needed for this")


def with_mapping(change):
    """The shop's order lines with one column mapped otherwise."""
    said = yaml.safe_load((settings.CONF / "mappings/sandbox_shop.yml").read_text(encoding="utf-8"))
    said["streams"]["order_lines"]["tables"]["silver.order_lines"]["columns"] |= change
    source = yaml.safe_load((settings.CONF / "sources/sandbox_shop.yml").read_text(encoding="utf-8"))
    return source, said


def test_every_declaration_of_the_repository_is_right(spark, home):
    assert list(mistakes((), lambda: spark)) == []
    assert list(home.iterdir()) == []


def test_what_is_right_is_said_to_be_right_and_leaves_nothing(spark, home):
    assert list(mistakes(["silver.order_lines", "journeys.sessions", "gold.orders_daily"], lambda: spark)) == []
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


def test_every_mistake_is_said_and_what_is_sound_is_tried_all_the_same(spark, home, tmp_path):
    with conf_with(tmp_path / "conf", with_mapping({"quantity": "quantiti +", "currency": "curency"})):
        rules = tmp_path / "conf/rules/segments.yml"
        rules.write_text(rules.read_text().replace("orders >= 3", "ordrs >= 3").replace("revenue_amount >= 200", "revenu >= 200"))
        (tmp_path / "conf/sources/wrong.yml").write_text("source: wrong\nconector: file_drop\n", encoding="utf-8")
        found = list(mistakes(["silver.order_lines", "segments.memberships", "segments.profiles"], lambda: spark))
    said = (
        r"sources/wrong\.yml: unknown keys \['conector'\]",
        r"rules/segments\.yml: segments\.multi_buyers\.when: 'ordrs >= 3' is no SQL",
        r"rules/segments\.yml: segments\.high_value\.when: 'revenu >= 200' is no SQL",
        r"mappings/sandbox_shop\.yml, silver\.order_lines: stream order_lines: columns\.quantity: 'quantiti \+' is no SQL",
        r"mappings/sandbox_shop\.yml, silver\.order_lines: stream order_lines: columns\.currency: 'curency' is no SQL",
    )
    assert len(found) == len(said), found
    for one in said:
        (sentence,) = [sentence for sentence in found if re.search(one, sentence)]
        assert "\n" not in sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"where": "quantity"}, r"stream order_lines: where: 'quantity' is of type string; it must be boolean"),
        ({"where": "sum(quantity) > 1"}, r"stream order_lines: where: 'sum\(quantity\) > 1' is no SQL"),
        ({"identifiers": [{"namespace": "email", "value": "emial"}]}, r"stream order_lines: identifiers\.0: 'emial' is no SQL"),
    ],
)
def test_what_a_mapping_says_besides_columns_is_tried_too(spark, home, tmp_path, change, said):
    source, mapping = with_mapping({})
    mapping["streams"]["order_lines"]["tables"]["silver.order_lines"] |= change
    with conf_with(tmp_path / "conf", (source, mapping)):
        (found,) = mistakes(["silver.order_lines"], lambda: spark)
    assert re.search(said, found), found


def without(columns, change=None):
    """The shop's order lines with some columns not mapped, and others mapped otherwise."""
    source, mapping = with_mapping(change or {})
    for name in columns:
        del mapping["streams"]["order_lines"]["tables"]["silver.order_lines"]["columns"][name]
    return source, mapping


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (without(["currency"]), "nothing fills currency, never null by conf/tables/silver/order_lines.yml; map what is missing"),
        (without([], {"currency": None}), "nothing fills currency, never null"),
        (without([], {"currency": "null"}), "nothing fills currency, never null"),
        (without(["line_amount", "unit_amount"]), "nothing fills line_amount (or unit_amount), never null"),
        # the day that is made of the instant is not said to be missing too
        (without(["ordered_at", "quantity"]), "nothing fills ordered_at and quantity, never null"),
    ],
)
def test_a_column_that_is_never_null_and_not_mapped_is_one_sentence_with_its_file(spark, home, tmp_path, mapping, said):
    with conf_with(tmp_path / "conf", mapping):
        (found,) = mistakes(["silver.order_lines"], lambda: spark)
        with pytest.raises(SettingsError) as raised:
            runner.tried(Lake(spark, str(home / "lake")), jobs()["silver.order_lines"], "sandbox_shop", check.DAY)
    assert found == str(raised.value)
    assert found.startswith(f"conf/mappings/sandbox_shop.yml, silver.order_lines: stream order_lines: columns: {said}")


@pytest.mark.parametrize("columns", [["line_number", "updated_at", "description"], ["line_amount"], ["unit_amount"]])
def test_what_a_job_makes_itself_need_not_be_mapped(spark, home, tmp_path, columns):
    with conf_with(tmp_path / "conf", without(columns)):
        assert list(mistakes(["silver.order_lines"], lambda: spark)) == []


def test_fields_that_spark_does_not_know_are_named_by_their_stream(spark, home, tmp_path):
    source, mapping = with_mapping({})
    mapping["streams"]["order_lines"]["record"]["schema"] = "order_id STRNG"
    with conf_with(tmp_path / "conf", (source, mapping)):
        (found,) = mistakes(["silver.order_lines"], lambda: spark)
    assert "conf/mappings/sandbox_shop.yml, silver.order_lines: stream order_lines: record {" in found and "order_id STRNG" in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": (Field("day", "dat"),)}, r"gold/orders_daily\.yml: columns\.day: type is 'dat'; it must be one of Spark SQL's"),
        (
            {"checks": (Check("odd", "warn", expect="orders + 1"),)},
            r"gold/orders_daily\.yml: check odd: expect: .* of type bigint; it must be boolean",
        ),
        ({"checks": (Check("odd", "warn", expect="orders >"),)}, r"gold/orders_daily\.yml: check odd: expect: 'orders >' is no SQL"),
    ],
)
def test_what_spark_cannot_use_of_a_contract_is_named_by_its_place(spark, monkeypatch, change, said):
    contract = dataclasses.replace(table("gold.orders_daily"), **change)
    monkeypatch.setattr(check, "table", lambda name: contract)
    (found,) = check._wrong_contract("gold.orders_daily", spark)
    assert re.search(said, found), found


def test_sums_that_cannot_be_made_are_named(spark, monkeypatch):
    odd = ({"input": "orders", "column": "gros_amount", "equals": "orderz"},)
    contract = dataclasses.replace(table("gold.orders_daily"), conservation=odd)
    monkeypatch.setattr(check, "table", lambda name: contract if name == "gold.orders_daily" else table(name))
    column, equals = check._wrong_sums(jobs()["gold.orders_daily"], spark)
    assert "gold/orders_daily.yml: conservation of orders: column: 'gros_amount' is no SQL" in column
    assert "conservation of orders: equals: 'orderz' is no SQL" in equals


def test_code_that_fails_is_one_sentence(spark, home):
    def broken(orders, platform):
        raise NameError("name 'ordes' is not defined")

    job = dataclasses.replace(jobs()["gold.orders_daily"], transform=broken)
    said = check._mistake(Lake(spark, str(home / "lake")), job, None)
    assert said and said.startswith("gold.orders_daily: NameError: name 'ordes' is not defined, line ")


def test_files_that_nobody_reads_are_named(tmp_path, monkeypatch):
    shutil.copytree(settings.CONF, tmp_path / "conf", ignore=shutil.ignore_patterns("__pycache__", "adr"))
    monkeypatch.setattr(check, "CONF", tmp_path / "conf")
    assert list(check._wrong_files(())) == []
    names = ("sources/podcast.yaml", "rules/segments.json", "tables/gold/visits.YML", "contracts/trial_started.yml", "mappings/podcast.yml")
    for name in names:
        (tmp_path / "conf" / name).write_text("{}")
    found = list(check._wrong_files(()))
    assert [next(name for name in names if name in one) for one in found] == list(names)
    assert all("is read by nobody" in one for one in found[:4]) and "there is no conf/sources/podcast.yml" in found[4]


def test_a_table_that_nothing_makes_is_named(monkeypatch):
    monkeypatch.setattr(check, "table_names", lambda: ("gold.visits", "gld.visits", "ops.runs"))
    monkeypatch.setattr(check, "table", lambda name: None)
    layer, job = sorted(check._wrong_files(()))
    assert "tables/gld/visits.yml: 'gld' is no layer; there are ['silver'" in layer
    assert "tables/gold/visits.yml: nothing makes this table; write spark_jobs/gold/visits.py" in job


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


@pytest.mark.parametrize(
    ("file", "right", "wrong", "name", "source"),
    [
        ("rules/segments.yml", "orders >= 3", "ordrs >= 3", "segments.memberships", None),
        ("rules/attribution.yml", "{kind: linear}", "{kind: liniar}", "attribution.credits", None),
        ("mappings/sandbox_shop.yml", "quantity: quantity", "quantity: quantiti", "silver.order_lines", "sandbox_shop"),
        ("sources/sandbox_shop.yml", "connector:", "conector:", "silver.order_lines", "sandbox_shop"),
    ],
    ids=("rule", "model", "mapping", "source"),
)
def test_a_wrong_declaration_is_said_by_check_and_ends_a_run_with_the_same_sentence(
    spark, home, tmp_path, file, right, wrong, name, source
):
    with conf_with(tmp_path / "conf"):
        path = tmp_path / "conf" / file
        text = path.read_text(encoding="utf-8")
        assert right in text
        path.write_text(text.replace(right, wrong), encoding="utf-8")
        found = list(mistakes([name], lambda: spark))
        with pytest.raises((SettingsError, ThroughlineError)) as raised:
            runner.Runner(Lake(spark, str(home / "lake")), "test").run([name], check.DAY, source and settings.checked(source).source)
    assert str(raised.value) in found and file in str(raised.value) and getattr(raised.value, "exit_code", 2) == 2
    assert not (home / "lake" / name.replace(".", "/")).exists()


def test_a_column_that_no_job_makes_is_said_by_check_and_ends_a_run_with_the_same_sentence(spark, home, monkeypatch):
    contract = table("gold.orders_daily")
    more = dataclasses.replace(contract, columns=(*contract.columns, Field("largest_amount", "decimal(28,2)")))
    monkeypatch.setattr(runner, "table", lambda name: more if name == "gold.orders_daily" else table(name))
    (found,) = mistakes(["gold.orders_daily"], lambda: spark)
    with pytest.raises(ThroughlineError) as raised:
        runner.Runner(Lake(spark, str(home / "lake")), "test").run(["gold.orders_daily"], check.DAY)
    assert found == str(raised.value) and "has no columns ['largest_amount'], which conf/tables/gold/orders_daily.yml" in found
    assert raised.value.exit_code == 2


def test_a_wrong_file_needs_no_spark_and_is_named_once(home, tmp_path):
    with conf_with(tmp_path / "conf"):
        (tmp_path / "conf/sources/wrong.yml").write_text("source: wrong\nconector: file_drop\n", encoding="utf-8")
        found = next(mistakes([], no_session))
        assert "wrong.yml: unknown keys ['conector']" in found
        assert next(mistakes(["wrong"], no_session)) == found


def test_one_source_is_tried_with_its_own_tables_alone(spark, home, monkeypatch):
    tried = []
    monkeypatch.setattr(check, "tried", lambda _, job, source, days: tried.append((job.table, source)))
    assert list(mistakes(["sandbox_shop"], lambda: spark)) == []
    assert {source for _, source in tried} == {"sandbox_shop"} and "silver.order_lines" in {name for name, _ in tried}


def test_what_is_neither_table_nor_source_is_named(home):
    with pytest.raises(SelectionError, match="nothing is called 'sandbox_shap'"):
        list(mistakes(["sandbox_shap"], no_session))


def test_the_key_of_the_home_is_not_touched(spark, home):
    assert list(mistakes(["silver.contacts"], lambda: spark)) == []
    assert not (home / "vault").exists()
