"""Airflow's REST API v2, as far as the demo, status and tests need it (standard library only)."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from spark_jobs.errors import ThroughlineError


class AirflowApi:
    """One Airflow at `url`; everybody is an admin there, so a token needs no password."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._token = ""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The reply as JSON. Raises ThroughlineError with Airflow's own words when it refuses."""
        if not self._token:
            self._token = self._send("GET", "/auth/token", None)["access_token"]
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
            raise ThroughlineError(f"Airflow refused {method} {path}: {error.code} {error.read().decode(errors='replace')[:400]}") from None

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
        """Start a run; returns its id."""
        body: dict[str, Any] = {"logical_date": None, "conf": conf or {}}
        if partition_key:
            body["partition_key"] = partition_key
        run_id: str = self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"]
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The run's task instances: task_id, state, duration, try_number …"""
        found: list[dict[str, Any]] = self.call("GET", f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances?limit=200")[
            "task_instances"
        ]
        return found

    def result(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """What a task's command printed last, a JSON object; {} when it printed none."""
        path = f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=true"
        try:
            value = self.call("GET", path)["value"]
        except (ThroughlineError, KeyError):
            return {}
        return value if isinstance(value, dict) else {}

    def end_unfinished_runs(self) -> None:
        """Mark what an earlier, interrupted start left queued or running as failed, so that it does not begin again by itself."""
        for run in self.call("GET", "/dags/~/dagRuns?state=running&state=queued&limit=100")["dag_runs"]:
            self.call("PATCH", f"/dags/{run['dag_id']}/dagRuns/{urllib.parse.quote(run['dag_run_id'])}", {"state": "failed"})
