"""Airflow's REST API v2, as far as the demo, status, notes and tests need it."""

from __future__ import annotations

import datetime as dt
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from conf.doors import AIRFLOW_USER, airflow_password, is_foreign
from spark_jobs.errors import ThroughlineError

TRIES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 6, 0.5, 8
# what Airflow keeps of a note
NOTE_CHARACTERS = 1000
CUT = "… the rest is in the log of the task"


class AirflowError(ThroughlineError):
    """Airflow refused a request, or did not answer.

    status: its HTTP status, 0 where no answer came.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_passing(self) -> bool:
        """Whether the same request may go well a moment later: SQLite under load answers 500."""
        return self.status == 0 or self.status >= 500


def joined_note(before: str, text: str) -> str:
    """A run's note with a text added, at most as long as Airflow keeps it; what was there stays, and nothing is said twice."""
    whole = before if text in before else "\n\n".join(filter(None, (before, text)))
    if len(whole) <= NOTE_CHARACTERS:
        return whole
    return whole[: NOTE_CHARACTERS - len(CUT) - 1].rsplit("\n", 1)[0] + "\n" + CUT


class AirflowApi:
    """The Airflow of this home at `url`, as its user."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._token = ""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, is_repeatable: bool | None = None) -> Any:
        """The reply as JSON.

        is_repeatable: whether the request may be made again after a passing error; by default all but POST, which would make two of a thing.
        Raises AirflowError with Airflow's own words when it refuses.
        """
        tries = TRIES if (method != "POST" if is_repeatable is None else is_repeatable) else 1
        again = Retrying(
            stop=stop_after_attempt(tries),
            wait=wait_exponential(FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS),
            retry=retry_if_exception(lambda error: isinstance(error, AirflowError) and error.is_passing),
            reraise=True,
        )
        return again(self._call, method, path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        if not self._token:
            if is_foreign(port := urllib.parse.urlsplit(self.url).port or 80):
                raise ThroughlineError(
                    f"port {port} of this machine is another user's: the password was not sent; start the services again"
                )
            self._token = self._send("POST", "/auth/token", {"username": AIRFLOW_USER, "password": airflow_password()})["access_token"]
        return self._send(method, f"/api/v2{path}", body)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            # never through a proxy: it is this machine
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
                text = reply.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:400]
            raise AirflowError(f"Airflow refused {method} {path}: {error.code} {said}", error.code) from None
        except OSError as error:
            raise AirflowError(f"Airflow at {self.url} does not answer {method} {path}: {error}") from None

    def wait_for_dag(self, dag_id: str, seconds: float = 60) -> None:
        """Return when Airflow has read the DAG."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.call("GET", f"/dags/{dag_id}")
                return
            except ThroughlineError:
                if time.monotonic() > deadline:
                    errors = self.call("GET", "/importErrors").get("import_errors", [])
                    raise ThroughlineError(
                        f"Airflow does not know {dag_id} after {seconds:.0f} s; import errors: {[e.get('stack_trace', '')[-500:] for e in errors]}"
                    ) from None
                time.sleep(0.5)

    def unpause(self, dag_id: str) -> None:
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, partition_key: str | None = None) -> str:
        """Start a run; returns its id. Asked again under the same id when Airflow answers 500, so that there is one run whatever it had made."""
        run_id = f"manual__{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%S}_{uuid.uuid4().hex[:8]}"
        body: dict[str, Any] = {"dag_run_id": run_id, "logical_date": None, "conf": conf or {}}
        if partition_key:
            body["partition_key"] = partition_key
        try:
            self.call("POST", f"/dags/{dag_id}/dagRuns", body, is_repeatable=True)
        except AirflowError as error:
            # nobody else makes this id: an earlier try had made the run after all
            if error.status != 409:
                raise
        return run_id

    def note(self, dag_id: str, run_id: str, text: str) -> None:
        """Add a text to the run's note, which stands on the run's page."""
        path = f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}"
        self.call("PATCH", path, {"note": joined_note(self.call("GET", path).get("note") or "", text)})

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The run's task instances: task_id, state, duration, try_number …"""
        found: list[dict[str, Any]] = self.call("GET", f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances?limit=200")[
            "task_instances"
        ]
        return found

    def result(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """What a task's command printed last, a JSON object; {} when it printed none. map_index: which one of a mapped task."""
        path = f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=true&map_index={map_index}"
        try:
            value = self.call("GET", path)["value"]
        except (ThroughlineError, KeyError):
            return {}
        return value if isinstance(value, dict) else {}

    def end_unfinished_runs(self) -> None:
        """Mark what an earlier, interrupted start left queued or running as failed, so that it does not begin again by itself."""
        for run in self.call("GET", "/dags/~/dagRuns?state=running&state=queued&limit=100")["dag_runs"]:
            self.call("PATCH", f"/dags/{run['dag_id']}/dagRuns/{urllib.parse.quote(run['dag_run_id'])}", {"state": "failed"})
