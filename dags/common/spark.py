"""Operators: a task is one command of this repository, run as a process of its own so that a kill stops its work.

SparkJobOperator runs `spark_jobs` commands as a thin Spark Connect client or through spark-submit (conf/platform.yml: submit_mode);
CommandOperator runs any other module of the repository.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink, Connection
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowRescheduleException,
    AirflowSkipException,
)

from conf.doors import OTHERS
from conf.printing import shown
from conf.settings import CONF, REPOSITORY, connections_of, home, platform, read_yaml, source_names

# what cannot pass by trying again: 2 a mistake in configuration or arguments, 3 a gate that stopped the batch
NO_RETRY = {2: "a mistake that trying again does not mend", 3: "a gate stopped the batch: nothing of it was published"}
# what a command says, in a line of its own, when it is welcome again: {"retry_after": seconds}
LATER = "retry_after"
# a wait beyond this holds no worker
LONG_WAIT_SECONDS = 60
# Airflow kills the task itself 5 s after it asked it to end
KILL_AFTER_SECONDS = 4
# what passes by itself
PASSING = 4
# Airflow shows the first line of a note: what the plan comes to stands there
DRY_RUN = "**Dry run: nothing was changed.** {}\n\nTo do it, trigger again with dry_run off."
DEFAULT_REMOTE = "sc://127.0.0.1:15002"


class ReportLink(BaseOperatorLink):
    """The report page: results, and for every table its freshness, checks and last run."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        base = os.environ.get("AIRFLOW__API__BASE_URL", "")
        return f"{base}/throughline/report" if os.environ.get("THROUGHLINE_EMBEDDED") else (home() / "report.html").as_uri()


class PlanLink(BaseOperatorLink):
    """What the run would do, or does, whole; none where the task said no plan."""

    name = "Plan"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        if not getattr(operator, "has_said", False):
            return ""
        base, run = os.environ.get("AIRFLOW__API__BASE_URL", ""), urllib.parse.quote(ti_key.run_id)
        return f"{base}/dags/{ti_key.dag_id}/runs/{run}/tasks/{ti_key.task_id}/xcom"


def _die_with_parent() -> None:
    """Linux: a task killed without warning takes its command with it."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def check_range(arguments: Sequence[str]) -> None:
    """Raises AirflowFailException when a run has neither from/to nor a partition key."""
    for flag in ("--from", "--to"):
        if flag in arguments:
            value = arguments[list(arguments).index(flag) + 1]
            try:
                dt.date.fromisoformat(value)
            except ValueError:
                got = f" ({flag} is {value!r})" if value else ""
                raise AirflowFailException(
                    f"this run has no range{got}: trigger it again with its first and last day (from and to, YYYY-MM-DD), or with a partition key"
                ) from None


def is_dry(context: Any) -> bool:
    """Whether the run was asked only to say what it would do."""
    return bool(context.get("params", {}).get("dry_run"))


def connections(words: Sequence[str]) -> dict[str, str]:
    """What a command needs to ask as the sources it names: AIRFLOW_CONN_<NAME> with each connection that is there, wherever Airflow keeps it."""
    found = {}
    for name in {one for word in words if word in source_names() for one in connections_of(word)}:
        with contextlib.suppress(AirflowNotFoundException):
            made = Connection.get(name)
            told = {key: value for key in ("host", "login", "password") if (value := getattr(made, key))}
            found[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps({**told, "extra": made.extra_dejson})
    return found


def note_on_run(context: Any, text: str) -> None:
    """Say it on the run's own page, as its note; where no Airflow of ours runs, the task's log alone says it. Never an error."""
    if os.environ.get("THROUGHLINE_EMBEDDED") and "ti" in context:
        words = [sys.executable, "-m", "spark_jobs", "note", context["ti"].dag_id, context["ti"].run_id, text]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode:
                context["ti"].task.log.warning("the run got no note: %s", done.stderr[-500:])


class CommandOperator(BaseOperator):
    """`python -m <module> <arguments>`; the command's last line of output, a JSON object, is the task's result.

    arguments: templated; '{source}' stands for `source` and '{account}' for `account`, which may be mapped. An exit code in NO_RETRY fails the task for good.
    days: the run's range where the arguments have none: without one it does not begin.
    plan: commands, each a module and its arguments, that say what the whole run would do: they alone run in a dry run, in which a task without
    a plan is skipped.
    """

    template_fields: Sequence[str] = ("arguments", "days", "plan")
    ui_color = "#e8eef4"
    operator_extra_links: Collection[BaseOperatorLink] = (ReportLink(), PlanLink())

    def __init__(
        self,
        *,
        arguments: Sequence[str],
        module: str = "connectors",
        source: str = "",
        account: str = "",
        days: Sequence[str] = (),
        plan: Sequence[Sequence[str]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.arguments = list(arguments)
        self.days = list(days)
        self.plan = [list(words) for words in plan]
        self.has_said = False
        self.module = module
        self.source = source
        self.account = account
        self._process: subprocess.Popen[str] | None = None

    def command(self) -> list[str]:
        """The whole command line."""
        return [sys.executable, "-m", self.module, *self.given()]

    def given(self) -> list[str]:
        return [argument.replace("{source}", self.source).replace("{account}", self.account) for argument in self.arguments]

    def environment(self, context: Any) -> dict[str, str]:
        """What the command sees beside this process's environment."""
        ti = context["ti"]
        return {
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(REPOSITORY),
            "THROUGHLINE_HOLDER": "/".join((ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index))),
            **connections(self.given()),
        }

    def execute(self, context: Any) -> Any:
        if not is_dry(context):
            return self.result_of(context, self.command(), self.environment(context))
        # nothing is written, of which Airflow's assets must not say that it was
        self.outlets = []
        if not self.plan:
            raise AirflowSkipException("a dry run: nothing was done")
        return self.said(context, DRY_RUN)

    def said(self, context: Any, words: str = "{}") -> dict[str, Any]:
        """What the commands of the plan print last, in one; the `note` of each, within these words, is the run's note and the value `plan`.

        One that fails costs no other its words; it is raised when all have said theirs.
        """
        env, results, failures = CommandOperator.environment(self, context), list[dict[str, Any]](), list[AirflowException]()
        for number, command in enumerate(self.plan):
            own = {**env, **spark_remote(context["ti"], str(number))}
            try:
                results.append(self.result_of(context, [sys.executable, "-m", *command], own))
            except AirflowException as error:
                failures.append(error)
        note = words.format("\n\n".join(result["note"] for result in results))
        if results:
            context["ti"].xcom_push(key="plan", value=note)
            note_on_run(context, note)
            self.has_said = True
        if failures:
            raise failures[0]
        return {key: value for result in results for key, value in result.items()} | {"note": note}

    def result_of(self, context: Any, command: list[str], env: dict[str, str]) -> dict[str, Any]:
        """Run a command; what it prints last, if that is a JSON object."""
        try:
            check_range([*self.days, *command])
        except AirflowFailException as error:
            note_on_run(context, str(error))
            raise
        self.log.info("running: %s", " ".join(command))
        code, last, wait = self._run(command, {**os.environ, **env})
        if code == 3:
            self._refresh_report()
        if code in NO_RETRY:
            note_on_run(context, f"{self.task_id}: {re.sub(r'^[A-Za-z]+Error: ', '', last)}")
            raise AirflowFailException(f"exit code {code}: {NO_RETRY[code]}. {last}")
        if code == PASSING and wait > LONG_WAIT_SECONDS:
            again = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=wait)
            note_on_run(context, f"{self.task_id}: {last} It goes on by itself at {again:%Y-%m-%d %H:%M} UTC.")
            raise AirflowRescheduleException(again)  # type: ignore[no-untyped-call]
        if code:
            raise AirflowException(f"the command ended with exit code {code}: {last}")
        try:
            result = json.loads(last)
        except ValueError:
            return {}
        return result if isinstance(result, dict) else {}

    def _run(self, command: list[str], env: dict[str, str]) -> tuple[int, str, float]:
        """Exit code, last line and the seconds that it asks to wait; every line goes to the task's log."""
        last, wait = "", 0.0
        self._process = subprocess.Popen(
            command, env=env, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            encoding="utf-8", errors="replace", bufsize=1, start_new_session=True, umask=OTHERS, preexec_fn=_die_with_parent,
        )  # fmt: skip
        try:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                text = shown(line.rstrip())
                if text.startswith(f'{{"{LATER}"'):
                    wait = float(json.loads(text)[LATER])
                elif text:
                    self.log.info(text)
                    last = text
            return self._process.wait(), last, wait
        finally:
            # a timeout or an error here: the command must not outlive its task
            self.on_kill()

    def _refresh_report(self) -> None:
        """The page names the failed check; it must not be older than the failure."""
        subprocess.run([sys.executable, "-m", "spark_jobs", "report"], cwd=REPOSITORY, capture_output=True, timeout=120, check=False)

    def on_kill(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=KILL_AFTER_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


class PlanOperator(CommandOperator):
    """A command that says what its run will do, dry or not; the `sources` of its JSON object are the task's result."""

    operator_extra_links = (PlanLink(),)

    def __init__(self, *, arguments: Sequence[str], **kwargs: Any) -> None:
        super().__init__(arguments=arguments, module="spark_jobs", plan=[["spark_jobs", *arguments]], **kwargs)

    def execute(self, context: Any) -> Any:
        return list(self.said(context)["sources"])


class SparkJobOperator(CommandOperator):
    """A `spark_jobs` command; the same arguments whether it goes to a Spark Connect server or through spark-submit."""

    ui_color = "#f4ece1"

    def __init__(self, *, arguments: Sequence[str], **kwargs: Any) -> None:
        super().__init__(arguments=arguments, module="spark_jobs", **kwargs)

    def command(self) -> list[str]:
        if platform().submit_mode == "connect":
            return super().command()
        return [*submit_command(), str(REPOSITORY / "spark_jobs" / "__main__.py"), *self.given()]

    def environment(self, context: Any) -> dict[str, str]:
        return {**super().environment(context), **spark_remote(context["ti"])}


def spark_remote(ti: Any, *which: str) -> dict[str, str]:
    """How a task's command (which: of several) finds the Spark Connect server; nothing where commands are submitted to a cluster."""
    if platform().submit_mode != "connect":
        return {}
    # one session per try: whoever knows the run can interrupt exactly this try's work, and a stopped id is never used again
    names = (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), str(ti.try_number), *which)
    session = uuid.uuid5(uuid.NAMESPACE_URL, "/".join(names))
    return {"SPARK_REMOTE": f"{os.environ.get('THROUGHLINE_SPARK_REMOTE', DEFAULT_REMOTE)}/;session_id={session};user_id=throughline"}


def submit_command() -> list[str]:
    """spark-submit in client mode with the session's settings and Delta's JARs."""
    master = platform().spark_master
    if not master:
        raise AirflowFailException(
            "conf/platform.yml: submit_mode is submit, spark_master is empty; set it to spark://HOST:7077, yarn or k8s://…"
        )
    beside = Path(sys.executable).with_name("spark-submit")
    command = [
        str(beside) if beside.exists() else shutil.which("spark-submit") or "spark-submit",
        "--master",
        master,
        "--deploy-mode",
        "client",
    ]
    command += ["--name", "throughline", "--driver-memory", platform().spark_driver_memory]
    found = sorted(str(path) for path in Path(sys.prefix, "share", "throughline", "jars").glob("*.jar"))
    if found:
        command += ["--jars", ",".join(found)]
    for key, value in sorted(read_yaml(CONF / "spark" / "session.yml").items()):
        command += ["--conf", f"{key}={value}"]
    return [*command, "--conf", f"spark.executorEnv.PYTHONPATH={REPOSITORY}"]
