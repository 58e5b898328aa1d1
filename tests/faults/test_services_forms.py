"""Every DAG's trigger form in a real browser on a real Airflow: opened, submitted as it opens, and its answer where the operator looks."""

import http.server
import json
import shutil
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from conf.doors import AIRFLOW_USER, airflow_password
from conf.settings import accounts_of, source_names
from spark_jobs.embedded.airflow_api import AirflowApi, AirflowError, joined_note
from spark_jobs.io.small import open_table
from spark_jobs.ops.backfill import campaigns
from tests.whole import worlds

pytestmark = pytest.mark.timeout(900)
BACKFILL, SITE = "campaign_backfill", "ingest_sandbox_site"
# the sources that are asked over HTTP have one form, as tests/dags says: the first of them stands for all
ASKED = [name for name in source_names() if accounts_of(name)]
NEED_DAYS = ("build_daily", "build_orders", *(f"ingest_{name}" for name in source_names() if name not in ASKED[1:]))
DAGS = (BACKFILL, "maintain_tables", *NEED_DAYS)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def running(built, tmp_path_factory):
    """(services, api, home), running on a copy of the whole small lake; Airflow has read every DAG."""
    home = tmp_path_factory.mktemp("forms")
    shutil.copytree(built[1], home, dirs_exist_ok=True)
    with worlds.services_at(home) as found:
        api = AirflowApi(found.airflow_url)
        for dag in DAGS:
            api.wait_for_dag(dag)
            # the form unpauses too, but its page does not ask twice when SQLite is busy
            api.unpause(dag)
        yield found, api, home


@pytest.fixture(scope="module")
def page(running):
    """A browser whose user is logged in."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1400}, reduced_motion="reduce")
        log_in(page, running[0].airflow_url)
        yield page
        browser.close()


def log_in(page: Page, url: str) -> None:
    page.goto(url)
    page.locator("input[name=username]").fill(AIRFLOW_USER)
    page.locator("input[name=password]").fill(airflow_password())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda found: "/auth/" not in found)


def leave(page: Page) -> None:
    """Airflow's pages draw and ask again for as long as they are open, and take a core for it."""
    page.goto("about:blank")


def shows(page: Page, url: str, *said: str) -> None:
    """The page at this address has these texts."""
    page.goto(url)
    for one in said:
        expect(page.get_by_text(one).first).to_be_visible(timeout=30_000)
    leave(page)


def opened(page: Page, url: str, dag: str):
    """The DAG's trigger form."""
    page.goto(f"{url}/dags/{dag}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    expect(form.get_by_role("button", name="Advanced Options")).to_be_visible(timeout=30_000)
    return form


def submitted(page: Page, form) -> str:
    """The id of the run that the form made."""
    button = form.get_by_role("button", name="Trigger").last
    expect(button).to_be_enabled(timeout=10_000)
    for _ in range(5):
        with page.expect_response(lambda r: r.request.method == "POST" and r.url.endswith("/dagRuns"), timeout=60_000) as answer:
            button.click()
        # SQLite under load: the form stays open, and whoever filled it in clicks again
        if answer.value.status != 500:
            break
        page.wait_for_timeout(2_000)
    assert answer.value.status == 200, answer.value.text()
    run = answer.value.json()["dag_run_id"]
    leave(page)
    return run


def ended(api, dag, run, seconds=180):
    until = time.monotonic() + seconds
    while (found := api.call("GET", f"/dags/{dag}/dagRuns/{run}"))["state"] not in ("success", "failed"):
        assert time.monotonic() < until, f"{dag} {run} is {found['state']}: {[(t['task_id'], t['state']) for t in api.tasks(dag, run)]}"
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def runs(running, page):
    """The run that each DAG's form made when it was submitted as it opens."""
    url, api = running[0].airflow_url, running[1]
    made = {dag: submitted(page, opened(page, url, dag)) for dag in DAGS}
    # its work is the whole lake's, and its form is all that is asked here
    api.call("PATCH", f"/dags/maintain_tables/dagRuns/{made['maintain_tables']}", {"state": "failed"})
    return made


def test_airflow_reads_every_dag_file(running):
    assert running[1].call("GET", "/importErrors")["import_errors"] == []


def versions(home):
    """Of every table there is, those of ops too."""
    names = (f"{path.parent.name}.{path.name}" for path in (home / "lake").glob("*/*") if path.is_dir())
    return {name: table.version() for name in names if (table := open_table(home / "lake", name))}


DRY = (
    ("build_daily", "identity", "2026-03-25 to 2026-03-25 would build ", "- `silver.orders[sandbox_shop]` 2026-03-25"),
    ("build_orders", "orders", "2026-03-25 to 2026-03-25 would build ", "- `gold.orders_daily` 2026-03-25"),
    (SITE, "check", "The pull of sandbox_site would land ", "- `silver.events[sandbox_site]` 2026-03-25"),
    ("maintain_tables", "maintain", " compacted", "- `ops.claims`: "),
)


# before anything else runs on the lake
@pytest.mark.parametrize(("dag", "first", "begun", "line"), DRY, ids=[one[0] for one in DRY])
def test_a_dry_run_says_the_plan_and_does_nothing(dag, first, begun, line, running, page):
    found, api, home = running
    before, files = versions(home), sorted((home / "landing").rglob("*"))
    form = opened(page, found.airflow_url, dag)
    for field in ("from", "to") if dag in NEED_DAYS else ():
        form.locator(f"#element_{field}").fill("2026-03-25")
    form.locator("[data-scope=switch][data-part=control]").click()
    answer = ended(api, dag, run := submitted(page, form))
    assert answer["state"] == "success" and answer["conf"]["dry_run"] is True
    states = {t["task_id"]: t["state"] for t in api.tasks(dag, run)}
    assert states.pop(first) == "success" and set(states.values()) <= {"skipped"}
    said = api.result(dag, run, first)["note"]
    assert said.startswith("**Dry run: nothing was changed.**") and begun in said.splitlines()[0] and line in said
    # as much of it as Airflow keeps
    assert answer["note"] == joined_note("", said)
    assert api.call("GET", f"/assets/events?source_run_id={run}")["asset_events"] == []
    assert versions(home) == before and sorted((home / "landing").rglob("*")) == files
    shows(page, api.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{first}/links")["extra_links"]["Plan"], begun)


@pytest.mark.parametrize("dag", DAGS)
def test_every_form_makes_a_run_as_it_opens(dag, runs):
    assert runs[dag].startswith("manual__")


@pytest.mark.parametrize("dag", NEED_DAYS)
def test_a_run_without_days_ends_in_one_sentence_on_its_page(dag, runs, running):
    run = ended(running[1], dag, runs[dag])
    assert run["state"] == "failed"
    assert run["note"] == (
        "this run has no range: trigger it again with its first and last day (from and to, YYYY-MM-DD), or with a partition key"
    )


def test_a_dry_run_s_answer_stands_on_the_run_s_page_and_behind_the_task_s_link(runs, running, page):
    (found, api, _), run = running, runs[BACKFILL]
    answer = ended(api, BACKFILL, run)
    assert answer["state"] == "success" and {t["state"] for t in api.tasks(BACKFILL, run)} == {"success", "skipped"}
    said = f"This would rebuild {worlds.FIRST} to {worlds.LAST}"
    assert said in answer["note"] and all(name in answer["note"] for name in worlds.SOURCES)
    shows(page, f"{found.airflow_url}/dags/{BACKFILL}/runs/{run}", said)
    link = api.call("GET", f"/dags/{BACKFILL}/dagRuns/{run}/taskInstances/plan/links")["extra_links"]["Plan"]
    shows(page, link, "sandbox_marketing: pulled again")


def test_campaigns_sources_and_models_are_picked_from_lists(running, page):
    (found, api, home) = running
    key, campaign = next((k, c) for k, c in campaigns(home / "lake").items() if c.name and c.first > worlds.FIRST)
    form = opened(page, found.airflow_url, BACKFILL)
    for field, shown in (("campaign", f"{campaign.name} ({key})"), ("sources", "sandbox_shop"), ("models", "linear")):
        form.locator(f"#element_{field} input").first.click()
        page.get_by_role("option", name=shown, exact=True).click()
    form.locator("[data-scope=switch][data-part=control]").click()
    run = submitted(page, form)
    sent = api.call("GET", f"/dags/{BACKFILL}/dagRuns/{run}")["conf"]
    assert sent == {"campaign": [key], "sources": ["sandbox_shop"], "from": None, "to": None, "models": ["linear"], "dry_run": False}
    refused = ended(api, BACKFILL, run)
    assert refused["state"] == "failed"
    assert refused["note"].startswith("plan: say which days to rebuild")
    assert f"fill in from and to (YYYY-MM-DD); for what was chosen they would be {campaign.first} to {campaign.last}" in refused["note"]
    (plan,) = [t for t in api.tasks(BACKFILL, run) if t["task_id"] == "plan"]
    assert plan["try_number"] == 1


def test_a_dry_run_of_chosen_days_says_those(running, page):
    found, api, _ = running
    form = opened(page, found.airflow_url, BACKFILL)
    for field in ("from", "to"):
        form.locator(f"#element_{field}").fill("2026-03-25")
    assert "would rebuild 2026-03-25 to 2026-03-25** (1 day)" in ended(api, BACKFILL, submitted(page, form))["note"]


def backfill(home, *more: str) -> subprocess.CompletedProcess[str]:
    """The command of README, for a day that has a run."""
    days = ["--from-date", str(worlds.FIRST), "--to-date", str(worlds.FIRST)]
    return worlds.command(home, "spark_jobs", "airflow", "backfill", "create", "--dag-id", SITE, *days, *more, check=False)


def runs_of(api, day):
    return [r for r in api.call("GET", f"/dags/{SITE}/dagRuns?limit=100")["dag_runs"] if r["partition_key"] == str(day)]


def test_a_day_that_has_a_run_is_backfilled_only_with_reprocess_behavior_completed(running):
    _, api, home = running
    first = api.trigger(SITE, partition_key=str(worlds.FIRST))
    api.call("PATCH", f"/dags/{SITE}/dagRuns/{first}", {"state": "success"})
    for more, wanted in (((), 1), (("--reprocess-behavior", "completed"), 2)):
        done = backfill(home, *more)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
        until = time.monotonic() + 60
        while any(not b["completed_at"] for b in api.call("GET", f"/backfills?dag_id={SITE}")["backfills"]):
            for run in runs_of(api, worlds.FIRST):
                if run["state"] in ("queued", "running"):
                    api.call("PATCH", f"/dags/{SITE}/dagRuns/{run['dag_run_id']}", {"state": "success"})
            assert time.monotonic() < until
            time.sleep(1)
        assert len(runs_of(api, worlds.FIRST)) == wanted, done.stdout[-1000:]


@pytest.mark.parametrize("is_made", [False, True], ids=["before the run was made", "after the run was made"])
def test_a_post_that_answers_500_is_tried_again_and_makes_one_run(is_made, running):
    found, api, _ = running
    asked = []

    class Faulty(http.server.BaseHTTPRequestHandler):
        """Hands on to Airflow; the first POST of a run answers 500, before or after Airflow did it."""

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_run = self.command == "POST" and self.path.endswith("/dagRuns")
            asked.extend([json.loads(body)] * is_run)
            is_faulty = is_run and len(asked) == 1
            status, text = 500, b"database is locked"
            if is_made or not is_faulty:
                kept = {name: value for name, value in self.headers.items() if name != "Host"}
                request = urllib.request.Request(found.airflow_url + self.path, body or None, kept, method=self.command)
                try:
                    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as reply:
                        said = reply.status, reply.read()
                except urllib.error.HTTPError as error:
                    said = error.code, error.read()
                status, text = (status, text) if is_faulty else said
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        day = f"2026-02-0{1 + is_made}"
        run = AirflowApi(f"http://127.0.0.1:{server.server_port}").trigger(SITE, {"from": day, "to": day}, partition_key=day)
        server.shutdown()
    assert len(asked) == 2 and asked[0] == asked[1]
    (made,) = runs_of(api, day)
    assert (made["dag_run_id"], made["conf"]) == (run, {"from": day, "to": day})
    api.call("PATCH", f"/dags/{SITE}/dagRuns/{run}", {"state": "failed"})


def test_a_database_that_is_locked_for_a_while_makes_one_run(running):
    _, api, home = running
    seen, send = [], AirflowApi._send

    def watched(self, *words):
        try:
            return send(self, *words)
        except AirflowError as error:
            seen.append(error.status)
            raise

    with sqlite3.connect(home / "airflow" / "airflow.db", isolation_level=None, timeout=30, check_same_thread=False) as database:
        database.execute("begin exclusive")
        threading.Timer(8, lambda: database.execute("commit")).start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AirflowApi, "_send", watched)
            run = api.trigger(SITE, {"from": "2026-02-03", "to": "2026-02-03"}, partition_key="2026-02-03")
    assert 500 in seen
    assert [r["dag_run_id"] for r in runs_of(api, "2026-02-03")] == [run]
    api.call("PATCH", f"/dags/{SITE}/dagRuns/{run}", {"state": "failed"})
