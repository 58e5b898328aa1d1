"""Every DAG file parses lightly, says what it does, and renders exactly the commands of the golden files (`make golden` rewrites them)."""

import datetime as dt
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk import DAG

from conf.settings import REPOSITORY, accounts_of, connections_of, pool_of, source, source_names
from conf.tables import table_names

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted((REPOSITORY / "dags").glob("[!_]*.py"))
CONTEXT = {"params": {"from": None, "to": None}, "partition_key": "2026-11-10"}
# what campaign_backfill's task does in every run
ALWAYS = "campaign_backfill.plan"


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    """Every DAG by its id: all that the files enter."""
    found: dict[str, DAG] = {}
    enter = DAG.__enter__

    def note(dag: DAG) -> DAG:
        found[dag.dag_id] = dag
        return enter(dag)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DAG, "__enter__", note)
        for path in FILES:
            runpy.run_path(str(path))
    return found


def commands(dag: DAG) -> dict[str, list[list[str]]]:
    """The command of every task for one day, and those of its dry run where it has a plan; this machine's Python left out."""
    found, environment = {}, dag.get_template_env()

    def rendered(words: list[str]) -> list[str]:
        return ["python", "-m", *(environment.from_string(w).render(**CONTEXT) for w in words)]

    for task in dag.tasks:
        if task.is_mapped:
            module = "spark_jobs" if task.task_type == "SparkJobOperator" else "connectors"
            words = [module, *task.partial_kwargs["arguments"]]
        elif hasattr(task, "arguments"):
            words = [task.module, *task.arguments]
            if task.plan and f"{dag.dag_id}.{task.task_id}" != ALWAYS:
                found[f"{task.task_id}.dry_run"] = [rendered(said) for said in task.plan]
        else:
            continue
        found[task.task_id] = [rendered(words)]
    return found


def test_every_source_has_its_ingest_dag_and_the_build_is_there(dags):
    assert {f"ingest_{name}" for name in source_names()} | {"build_daily", "build_orders", "campaign_backfill", "maintain_tables"} == set(
        dags
    )


def test_every_dag_says_what_it_does_and_who_owns_it(dags):
    for dag in dags.values():
        assert "**What**" in dag.doc_md and "**Affects**" in dag.doc_md
        assert dag.tags and dag.description
        for task in dag.tasks:
            assert task.owner not in ("", "airflow"), f"{dag.dag_id}.{task.task_id}"


def test_no_field_of_any_form_keeps_its_button_grey(dags):
    for dag in dags.values():
        for name in dag.params:
            param = dag.params.get_param(name)
            # the form asks for a value wherever a type does not allow null
            assert "null" in param.schema["type"] or param.value not in (None, "", []), f"{dag.dag_id}: {name}"
            param.resolve()
            assert param.schema["title"] and param.description


def test_tasks_that_can_pass_are_retried_with_a_growing_pause(dags):
    for task in dags["build_daily"].tasks:
        assert task.retries == 2
        assert task.retry_exponential_backoff


def test_attribution_and_segments_run_side_by_side_after_journeys(dags):
    dag = dags["build_daily"]
    assert dag.get_task("journeys").downstream_task_ids == {"attribution", "segments"}
    assert dag.get_task("gold").upstream_task_ids == {"attribution", "segments"}


def test_every_table_is_an_asset_of_a_task_and_every_asset_is_a_table(dags):
    outlets = {asset.name for dag in dags.values() for task in dag.tasks if not task.is_mapped for asset in task.outlets}
    built = {name for name in table_names() if name.split(".")[0] not in ("ops", "vault")}
    bronze = {f"bronze.{name}__{stream}" for name in source_names() for stream in source(name).streams}
    assert outlets == built | bronze


def test_rendered_commands_equal_the_golden_files(dags):
    rendered = {
        dag.dag_id: "".join(f"{task}: {' '.join(words)}\n" for task, lines in commands(dag).items() for words in lines)
        for dag in dags.values()
    }
    if os.environ.get("GOLDEN") == "write":
        for stale in GOLDEN.glob("*.txt"):
            stale.unlink()
        for name, text in rendered.items():
            (GOLDEN / f"{name}.txt").write_text(text, encoding="utf-8")
    assert rendered == {p.stem: p.read_text(encoding="utf-8") for p in GOLDEN.glob("*.txt")}


def test_every_form_has_a_dry_run_that_the_first_task_alone_answers(dags):
    for dag in dags.values():
        assert dag.params.get_param("dry_run").schema["type"] == "boolean"
        assert dag.params["dry_run"] is (dag.dag_id == "campaign_backfill")
        (first,) = dag.roots
        assert first.plan and not any(getattr(task, "plan", ()) for task in dag.tasks if task is not first and not task.is_mapped)


class Told:
    """A task instance that keeps what is pushed."""

    dag_id, run_id, task_id, map_index, try_number = "d", "r", "t", -1, 1

    def __init__(self) -> None:
        self.pushed = {}

    def xcom_push(self, key, value):
        self.pushed[key] = value


@pytest.fixture
def ran(monkeypatch):
    """What commands a task runs, each of which says a plan."""
    from dags.common.spark import CommandOperator

    found = []

    def run(self, command, env):
        found.append((command[2:], env.get("SPARK_REMOTE")))
        return 0, f'{{"note": "plan {len(found)}", "parts": {len(found)}}}', 0.0

    monkeypatch.delenv("THROUGHLINE_EMBEDDED", raising=False)
    monkeypatch.setattr(CommandOperator, "_run", run)
    return found


DAY = ["--from", "2026-11-10", "--to", "2026-11-10"]


@pytest.mark.parametrize("operator", ["CommandOperator", "SparkJobOperator"])
def test_a_dry_run_says_the_plan_and_touches_no_asset(operator, ran):
    from dags.common import spark
    from dags.common.assets import assets

    plan = [["connectors", "pull", "s", *DAY], ["spark_jobs", "plan", *DAY]]
    task = getattr(spark, operator)(task_id="t", arguments=["run", *DAY], plan=plan, outlets=assets(["gold.people"]))
    said = task.execute({"params": {"dry_run": True}, "ti": (ti := Told())})
    assert [command for command, _ in ran] == plan
    # a session's id is never used again
    assert len({remote for _, remote in ran}) == 2 and None not in {remote for _, remote in ran}
    assert said["note"] == ti.pushed["plan"] == spark.DRY_RUN.format("plan 1\n\nplan 2") and said["parts"] == 2
    assert task.outlets == [] and spark.PlanLink().get_link(task, ti_key=ti).endswith("/dags/d/runs/r/tasks/t/xcom")


def test_a_plan_that_fails_costs_the_others_nothing_and_ends_the_dry_run_at_last(monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException

    from dags.common import spark

    def run(self, command, env):
        return (2, "error: a file was refused", 0.0) if "connectors" in command else (0, '{"note": "plan 2"}', 0.0)

    monkeypatch.setattr(spark.CommandOperator, "_run", run)
    noted = []
    monkeypatch.setattr(spark, "note_on_run", lambda context, text: noted.append(text))
    task = spark.CommandOperator(task_id="t", arguments=[], plan=[["connectors", "pull", "s", *DAY], ["spark_jobs", "plan", *DAY]])
    with pytest.raises(AirflowFailException, match="a file was refused"):
        task.execute({"params": {"dry_run": True}, "ti": (ti := Told())})
    assert noted == ["t: error: a file was refused", ti.pushed["plan"]] and ti.pushed["plan"] == spark.DRY_RUN.format("plan 2")
    assert spark.PlanLink().get_link(task, ti_key=ti)


def test_a_run_that_is_not_dry_runs_its_one_command_and_keeps_its_assets(ran):
    from dags.common import spark
    from dags.common.assets import assets

    for params in ({}, {"dry_run": False}, {"dry_run": None}):
        task = spark.SparkJobOperator(
            task_id="t", arguments=["run", *DAY], plan=[["spark_jobs", "plan", *DAY]], outlets=assets(["gold.people"])
        )
        task.execute({"params": params, "ti": (ti := Told())})
        assert task.outlets and not ti.pushed and spark.PlanLink().get_link(task, ti_key=ti) == ""
    assert [command for command, _ in ran] == [["spark_jobs", "run", *DAY]] * 3


def test_a_task_without_a_plan_is_skipped_in_a_dry_run_also_when_it_is_cleared(ran):
    from airflow.sdk.exceptions import AirflowSkipException

    from dags.common.spark import CommandOperator

    with pytest.raises(AirflowSkipException, match="dry run"):
        CommandOperator(task_id="t", arguments=["pull", "s", *DAY]).execute({"params": {"dry_run": True}, "ti": Told()})
    assert not ran


def test_a_dry_run_without_a_range_fails_for_good_and_one_with_a_day_does_not_wait(ran):
    from types import SimpleNamespace

    from airflow.sdk.exceptions import AirflowFailException

    from dags.common.defaults import wait_for_runs
    from dags.common.spark import CommandOperator

    task = CommandOperator(task_id="t", arguments=[], plan=[["spark_jobs", "plan", "--from", "", "--to", ""]])
    with pytest.raises(AirflowFailException, match="no range"):
        task.execute({"params": {"dry_run": True}, "ti": Told()})
    assert not ran
    run = SimpleNamespace(partition_key="2026-11-10", run_type="scheduled")
    wait_for_runs(["build_orders"], {"params": {"dry_run": True}, "dag_run": run, "ti": None})


def test_parsing_imports_neither_spark_nor_great_expectations():
    code = "import sys, runpy; [runpy.run_path(p) for p in sys.argv[1:]]; sys.exit(bool({'pyspark', 'great_expectations', 'pandas'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, FILES)], cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=False
    )
    assert done.returncode == 0


def test_a_run_without_a_range_fails_for_good():
    from airflow.sdk.exceptions import AirflowFailException

    from dags.common.spark import check_range

    check_range(["run", "gold", "--from", "2026-11-10", "--to", "2026-11-10"])
    for words in (["--from", "", "--to", ""], ["--from", "None", "--to", "None"]):
        with pytest.raises(AirflowFailException, match="no range"):
            check_range(words)


@pytest.mark.parametrize(("code", "error"), [(3, "AirflowFailException"), (2, "AirflowFailException"), (4, "AirflowException")])
def test_only_what_can_pass_is_tried_again(code, error, tmp_path, monkeypatch):
    from dags.common.spark import CommandOperator

    operator = CommandOperator(task_id="t", module="none", arguments=[])
    monkeypatch.setattr(operator, "command", lambda: [sys.executable, "-c", f"print('why'); raise SystemExit({code})"])
    monkeypatch.setattr(operator, "environment", lambda context: {})
    monkeypatch.setattr(operator, "_refresh_report", lambda: None)
    with pytest.raises(Exception, match="why") as raised:
        operator.execute({})
    assert type(raised.value).__name__ == error


def test_a_command_s_last_line_is_the_task_s_result(monkeypatch):
    from dags.common.spark import CommandOperator

    operator = CommandOperator(task_id="t", module="none", arguments=[])
    monkeypatch.setattr(operator, "command", lambda: [sys.executable, "-c", 'print("working"); print(\'{"rows_in": 3}\')'])
    monkeypatch.setattr(operator, "environment", lambda context: {})
    assert operator.execute({}) == {"rows_in": 3}


def test_the_same_arguments_go_through_spark_submit(monkeypatch):
    from dags.common.spark import SparkJobOperator

    monkeypatch.setenv("THROUGHLINE_SUBMIT_MODE", "submit")
    monkeypatch.setenv("THROUGHLINE_SPARK_MASTER", "spark://127.0.0.1:7077")
    command = SparkJobOperator(task_id="t", arguments=["run", "gold", "--from", "2026-11-10", "--to", "2026-11-10"]).command()
    assert command[0].endswith("spark-submit") and command[1:3] == ["--master", "spark://127.0.0.1:7077"]
    assert command[-7:] == [str(REPOSITORY / "spark_jobs" / "__main__.py"), "run", "gold", "--from", "2026-11-10", "--to", "2026-11-10"]


@pytest.mark.parametrize(("wait", "is_away"), [(3600.0, True), (2.0, False)])
def test_a_command_that_is_welcome_in_an_hour_holds_no_worker(monkeypatch, wait, is_away):
    from airflow.sdk.exceptions import AirflowException, AirflowRescheduleException

    from dags.common.spark import CommandOperator

    monkeypatch.delenv("THROUGHLINE_EMBEDDED", raising=False)
    task = CommandOperator(task_id="t", arguments=["pull", "s", *DAY])
    said = f"print(json.dumps({{'retry_after': {wait}}})); print('error: its budget is spent')"
    words = [f"import sys, json; {said}; sys.exit(4)"]
    monkeypatch.setattr(CommandOperator, "command", lambda self: [sys.executable, "-c", *words])
    with pytest.raises(AirflowRescheduleException if is_away else AirflowException) as ended:
        task.execute({"params": {}, "ti": Told()})
    if is_away:
        left = (ended.value.reschedule_date - dt.datetime.now(dt.UTC)).total_seconds()
        assert 3500 < left <= 3600
    else:
        assert type(ended.value) is AirflowException and "its budget is spent" in str(ended.value)


def test_a_source_that_is_asked_over_http_pulls_each_account_in_the_vendor_s_pool(dags):
    asked = [name for name in source_names() if accounts_of(name)]
    assert asked
    for name in asked:
        pull = dags[f"ingest_{name}"].get_task("pull")
        assert pull.is_mapped and pull.pool == pool_of(name)
    assert not any(dags[f"ingest_{name}"].get_task("pull").is_mapped for name in source_names() if name not in asked)


def test_every_ingest_dag_has_the_same_form(dags):
    forms = {name: dags[f"ingest_{name}"].params for name in source_names()}
    first = next(iter(forms.values()))
    for form in forms.values():
        assert [(key, form.get_param(key).schema, form[key]) for key in form] == [
            (key, first.get_param(key).schema, first[key]) for key in first
        ]


def test_what_a_connection_holds_reaches_the_command_s_environment_alone(monkeypatch):
    from dags.common.spark import CommandOperator

    name = next(name for name in source_names() if connections_of(name))
    for one in connections_of(name):
        monkeypatch.setenv(f"AIRFLOW_CONN_{one.upper()}", '{"password": "canary-1234", "extra": {"refresh_token": "canary-5678"}}')
    task = CommandOperator(task_id="t", arguments=["pull", name, *DAY])
    held = task.environment({"ti": Told()})
    for one in connections_of(name):
        told = json.loads(held[f"AIRFLOW_CONN_{one.upper()}"])
        assert (told["password"], told["extra"]["refresh_token"]) == ("canary-1234", "canary-5678")
    assert "canary" not in str(task.command())
