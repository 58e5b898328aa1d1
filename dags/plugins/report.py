"""The report page inside Airflow's UI (embedded services only: it is served to 127.0.0.1 without a login)."""

from __future__ import annotations

import os

from airflow.plugins_manager import AirflowPlugin
from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

from conf.settings import home

app = FastAPI(title="Throughline report")


@app.get("/report")
def report() -> Response:
    """The newest report page."""
    page = home() / "report.html"
    if not page.is_file():
        return HTMLResponse(
            "<p>No report yet: it is written by the task <b>report</b> of the DAGs <b>build_orders</b> and <b>build_daily</b>.</p>",
            status_code=404,
        )
    return FileResponse(page, media_type="text/html", headers={"Cache-Control": "no-store"})


IS_EMBEDDED = bool(os.environ.get("THROUGHLINE_EMBEDDED"))


class ThroughlinePlugin(AirflowPlugin):
    name = "throughline"
    fastapi_apps = [{"app": app, "url_prefix": "/throughline", "name": "throughline"}] if IS_EMBEDDED else []
    external_views = (
        [{"name": "Report", "href": "/throughline/report", "destination": "nav", "url_route": "throughline-report"}] if IS_EMBEDDED else []
    )
