"""A job that cannot be used as it is is one sentence with its file, and keeps no other from being found."""

import dataclasses
import re
import sys
from types import SimpleNamespace

import pytest

from conf import tables
from conf.settings import SettingsError
from spark_jobs import job
from spark_jobs.job import CircleError, Job, in_order, jobs

NAME = "gold.orders_daily"


@pytest.fixture
def found(monkeypatch):
    """The jobs and what is wrong, after the module of one is another."""
    sound = jobs()[NAME]

    def found(module=None, **changed):
        given = module or SimpleNamespace(JOB=dataclasses.replace(sound, **changed))
        monkeypatch.setitem(sys.modules, f"spark_jobs.{NAME}", given)
        job.sound_jobs.cache_clear()
        return job.sound_jobs()

    yield found
    job.sound_jobs.cache_clear()


def unlike(orders, platform, colour):
    """A transform that asks for more than there is."""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"table": "gold.people"}, r"its JOB says table='gold.people'; it must be 'gold.orders_daily', as the path says"),
        ({"inputs": {"orders": "silver.ordrs"}}, r"inputs name \['silver.ordrs'\]; conf/tables has \["),
        ({"inputs": {"order": "silver.orders"}}, r"\['order', 'orders'\] stand in `inputs` or in count_orders\(\), not in both"),
        ({"transform": unlike}, r"\['colour'\] stand in `inputs` or in unlike\(\), not in both"),
        ({"rules": "segmnts"}, r"rules is 'segmnts'; there are \['attribution'"),
        ({"module": SimpleNamespace()}, r"has no JOB that makes the table of conf/tables/gold/orders_daily.yml"),
    ],
)
def test_a_wrong_job_is_named_and_the_others_are_there(found, changed, said):
    sound, wrong = found(**changed)
    assert list(wrong) == [NAME] and NAME not in sound and "gold.people" in sound
    assert re.match(r"spark_jobs/gold/orders_daily\.py: .*" + said, str(wrong[NAME])), wrong[NAME]
    with pytest.raises(SettingsError, match=re.escape(str(wrong[NAME]))):
        jobs()


def test_a_sum_of_what_is_no_input_is_named(found, monkeypatch):
    odd = dataclasses.replace(tables.table(NAME), conservation=({"input": "order", "column": "x", "equals": "orders"},))
    monkeypatch.setattr(job, "table", lambda name: odd if name == NAME else tables.table(name))
    _, wrong = found()
    assert "conf/tables/gold/orders_daily.yml: conservation: ['order'] are no inputs of spark_jobs/gold/orders_daily.py" in str(wrong[NAME])


def test_a_module_that_cannot_be_imported_is_named_with_its_line(monkeypatch, tmp_path):
    (tmp_path / "spark_jobs").mkdir()
    (tmp_path / "spark_jobs/odd.py").write_text("x = 1\ny = (\n")
    monkeypatch.setattr(job, "REPOSITORY", tmp_path)
    with pytest.raises(SyntaxError) as raised:
        compile((tmp_path / "spark_jobs/odd.py").read_text(), str(tmp_path / "spark_jobs/odd.py"), "exec")
    assert job.of_code(raised.value) == "SyntaxError: '(' was never closed, line 2 of spark_jobs/odd.py"


def test_tables_that_read_each_other_in_a_circle_are_named_and_no_other():
    def reads(name, *others):
        return Job(table=name, inputs={other.replace(".", "_"): other for other in others}, transform=lambda: None)

    known = {
        "silver.orders": reads("silver.orders"),
        "gold.people": reads("gold.people", "gold.orders_daily", "silver.orders"),
        "gold.orders_daily": reads("gold.orders_daily", "gold.people"),
    }
    with pytest.raises(
        CircleError, match=r"circle: gold\.orders_daily reads gold\.people, gold\.people reads gold\.orders_daily; take one"
    ) as raised:
        in_order(set(known), known)
    assert isinstance(raised.value, SettingsError) and set(raised.value.tables) == {"gold.people", "gold.orders_daily"}
    assert in_order({"silver.orders"}, known) == ["silver.orders"]
