"""What a crash, a half restore or two at once do to a lake, and that it comes back whole: no row lost or twice, every run on record."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from conf import contracts
from conf.settings import REPOSITORY
from conf.tables import table
from spark_jobs.bronze.load import load_source
from spark_jobs.embedded import maintain as maintenance
from spark_jobs.embedded.maintain import compact, maintain, maintain_small
from spark_jobs.engine.claims import Claims, claims_on
from spark_jobs.errors import ClaimHeldError, DamagedTableError, LostClaimError, LostDataError, SelectionError
from spark_jobs.io.commits import commit_ids, is_there, missing_files
from spark_jobs.io.lake import Lake
from spark_jobs.io.publish import Fence, append as append_to
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import append_rows, open_table, opened, query, read_arrow
from spark_jobs.io.vault import key_pads
from spark_jobs.ops.rebuild import rebuild
from spark_jobs.report.health import table_health
from tests.real.reports import conf_with
from tests.whole import worlds

AT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def copied(built, tmp_path, monkeypatch):
    """A copy of the whole small lake in a home of its own."""
    lake, home = built
    for folder in ("lake", "vault"):
        shutil.copytree(home / folder, tmp_path / folder)
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    monkeypatch.setenv("THROUGHLINE_LANDING", str(home / "landing"))
    return Lake(lake.spark, str(tmp_path / "lake"))


def home_of(lake: Lake) -> Path:
    return Path(lake.root).parent


def run(lake, *selection, **options):
    return worlds.run(lake, home_of(lake), selection=selection, **options)


contents = worlds.hashes


def lose_last_commit(lake, name):
    logs = sorted(Path(lake.path(name), "_delta_log").glob("[0-9]*.json"))
    logs[-1].unlink()
    logs[-1].with_name(f".{logs[-1].name}.crc").unlink(missing_ok=True)
    forget(lake)


def lose_file(lake, name):
    gone = open_table(lake.root, name).file_uris()[0]
    Path(gone).unlink()
    forget(lake)
    return gone


def forget(lake):
    """What this process's Spark remembers of logs; a crash leaves no process that remembers any."""
    lake.spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


def health_of(lake, name):
    return {t.table: t for t in table_health(lake.root, dt.datetime.now(dt.UTC))}[name]


def at_once(times, work):
    """What each of so many threads, which begin together, returns or raises."""
    ready, found = threading.Barrier(times), []

    def one():
        ready.wait()
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


# made once


def test_threads_that_open_a_small_table_at_once_get_the_one_that_one_of_them_makes(tmp_path):
    for number in range(5):
        found = at_once(12, lambda root=str(tmp_path / str(number)): opened(root, table("ops.claims")).version())
        assert found == [0] * 12


def test_processes_that_make_tables_at_once_make_each_once(tmp_path):
    """Each appends one row to a table that is not there; none is lost and none fails."""
    code = (
        "import sys, datetime as dt; from conf.tables import table; from spark_jobs.io.small import append_rows, opened\n"
        "at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)\n"
        "for n in range(6):\n"
        "    c = table('ops.claims'); append_rows(opened(f'{sys.argv[1]}/{n}', c), c, [(sys.argv[2], 1, 'h', at, at)])\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(i)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        for i in range(3)
    ]
    assert [(one.wait(), one.stderr.read()) for one in started] == [(0, "")] * 3
    for number in range(6):
        assert sorted(read_arrow(tmp_path / str(number), "ops.claims")["claim"].to_pylist()) == ["0", "1", "2"]


def test_builds_that_need_the_keys_table_at_once_make_it_and_its_one_row_once(spark, home):
    for number in range(2):
        lake = Lake(spark, str(home / f"lake{number}"))
        rows = at_once(5, lambda lake=lake: [(r._inner_pad, r._outer_pad) for r in key_pads(lake).collect()])
        assert not [one for one in rows if isinstance(one, Exception)], rows
        assert all(len(one) == 1 and one == rows[0] for one in rows)
        assert read_rows(lake, "vault.hmac_keys") == 1


def read_rows(lake, name):
    return sum(DeltaTable(lake.path(name)).get_add_actions(flatten=True)["num_records"].to_pylist())


# the record


def test_a_run_counts_only_when_its_ledger_is_written_and_its_retry_has_the_only_one(copied, monkeypatch):
    """The process ends between the ledger's commit and that of the runs."""
    from spark_jobs.engine import record

    before, append = contents(copied), record.append_rows

    def dies(found, contract, rows, **options):
        if contract.name == "ops.runs":
            raise KeyboardInterrupt
        append(found, contract, rows, **options)

    monkeypatch.setattr(record, "append_rows", dies)
    with pytest.raises(KeyboardInterrupt):
        run(copied, "silver.refunds", force=True)
    monkeypatch.setattr(record, "append_rows", append)
    runs, ledger = ({r["run_id"] for r in read_arrow(copied.root, name).to_pylist()} for name in ("ops.runs", "ops.ledger"))
    assert ledger - runs
    run(copied, "silver.refunds", force=True)
    runs, rows = ([r["run_id"] for r in read_arrow(copied.root, name).to_pylist()] for name in ("ops.runs", "ops.ledger"))
    assert set(rows) <= set(runs)
    assert contents(copied) == before
    assert all(read_arrow(copied.root, "ops.ledger")["is_closed"].to_pylist())


@pytest.mark.parametrize("source", ["sandbox_shop", "sandbox_site"])
def test_a_load_that_was_killed_after_its_append_gets_its_run_and_its_ledger_from_the_next(spark, built, tmp_path, monkeypatch, source):
    """kill -9 between the append and the record: files for the shop, a stream for the site."""
    _, home = built
    shutil.copytree(home / "landing", tmp_path / "landing", copy_function=os.link)
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    lake = Lake(spark, str(tmp_path / "lake"))
    code = (
        "import os, signal, sys; from spark_jobs.engine.record import Recorder\n"
        "Recorder.flush = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from spark_jobs.__main__ import app; app(['load', sys.argv[1]])\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, source], cwd=REPOSITORY, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-500:]
    assert read_arrow(lake.root, "ops.ledger").num_rows == 0
    for _ in range(2):
        load_source(lake, source, "test")
        ledger = read_arrow(lake.root, "ops.ledger").to_pylist()
        assert set(r["run_id"] for r in ledger) == set(read_arrow(lake.root, "ops.runs")["run_id"].to_pylist())
        in_table = {
            name: lake.spark.read.format("delta").load(lake.path(name)).where("_row > 0").count()
            for name in (f"bronze.{p.name}" for p in Path(lake.root, "bronze").iterdir())
        }
        assert {r["table_name"]: r["rows_in"] for r in ledger} == {name: rows for name, rows in in_table.items()}


# losses


@pytest.mark.parametrize("name", ["silver.order_lines", "gold.channel_daily"])
def test_a_table_whose_newest_commit_is_gone_is_told_and_built_again_by_the_next_run(copied, name):
    before = contents(copied)
    run(copied, name)
    lose_last_commit(copied, name)
    assert health_of(copied, name).status == "lost"
    assert "commits that runs left in it are gone" in health_of(copied, name).error
    days = worlds.Range(worlds.LAST, worlds.LAST)
    # one day is asked for, all come back
    run(copied, name, days=days, changed=True)
    assert contents(copied) == before
    assert health_of(copied, name).status == "ok"
    assert not any(o.wrote for o in run(copied, name, days=days, changed=True))


@pytest.mark.parametrize("name", ["silver.consents", "identity.edges"])
def test_a_table_whose_data_file_is_gone_is_told_and_built_again_by_the_next_run(copied, name):
    before = contents(copied)
    gone = lose_file(copied, name)
    assert gone in health_of(copied, name).error and health_of(copied, name).status == "lost"
    run(copied, name, days=worlds.Range(worlds.LAST, worlds.LAST), changed=True)
    assert contents(copied) == before
    assert missing_files(copied.root, name) == {} and health_of(copied, name).status == "ok"


def test_nothing_is_built_from_a_table_that_lost_rows_until_it_is_whole_again(copied):
    before = contents(copied)
    run(copied, "silver.order_lines", "silver.orders")
    lose_last_commit(copied, "silver.order_lines")
    with pytest.raises(LostDataError, match=r"silver.order_lines: commits .* are gone .*python -m spark_jobs rebuild silver.order_lines"):
        run(copied, "silver.orders")
    assert contents(copied)["silver.orders"] == before["silver.orders"]
    # what was made of it follows in the same run
    run(copied, "silver.order_lines", "silver.orders", days=worlds.Range(worlds.LAST, worlds.LAST), changed=True)
    assert contents(copied) == before


def test_a_loss_stays_known_when_the_run_that_mends_it_is_killed(copied, monkeypatch):
    before = contents(copied)
    lose_file(copied, "silver.orders")
    from spark_jobs.engine import runner as module

    monkeypatch.setattr(module, "in_waves", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(copied, "silver.orders")
    monkeypatch.undo()
    os.environ["THROUGHLINE_HOME"] = str(home_of(copied))
    assert missing_files(copied.root, "silver.orders") == {} and health_of(copied, "silver.orders").status == "lost"
    run(copied, "silver.orders", days=worlds.Range(worlds.LAST, worlds.LAST))
    assert contents(copied) == before and health_of(copied, "silver.orders").status == "ok"


def test_bronze_takes_what_it_lost_from_landing_again(copied):
    name = "bronze.sandbox_shop__order_lines"
    before, rows = contents(copied), copied.spark.read.format("delta").load(copied.path(name)).count()
    for lose in (lose_last_commit, lose_file):
        load_source(copied, "sandbox_shop", "test")
        lose(copied, name)
        with pytest.raises(LostDataError, match="python -m spark_jobs load sandbox_shop"):
            run(copied, "silver.order_lines", source="sandbox_shop")
        load_source(copied, "sandbox_shop", "test")
        assert copied.spark.read.format("delta").load(copied.path(name)).count() == rows
        run(copied, "silver.order_lines", source="sandbox_shop")
        assert contents(copied) == before


def leave_a_gap(lake, name):
    run(lake, name, force=True)
    sorted(Path(lake.path(name), "_delta_log").glob("[0-9]*.json"))[0].unlink()


def damage_a_page(lake, name):
    page = Path(open_table(lake.root, name).file_uris()[0])
    content = bytearray(page.read_bytes())
    content[4:200] = b"\xff" * 196
    page.write_bytes(content)


@pytest.mark.parametrize(("name", "harm"), [("silver.refunds", leave_a_gap), ("gold.people", damage_a_page)])
def test_what_cannot_be_read_is_one_sentence_and_a_rebuild_brings_it_back(copied, name, harm):
    before = contents(copied)
    harm(copied, name)
    forget(copied)
    with pytest.raises(DamagedTableError, match=f"python -m spark_jobs rebuild {name}"):
        run(copied, name, force=True)
    rebuild(copied, name, "test", lambda _: None)
    assert contents(copied) == before and health_of(copied, name).status == "ok"
    assert len(list(Path(copied.root, "_set_aside").iterdir())) == 1


def test_a_commit_that_was_tidied_away_below_a_checkpoint_is_no_loss(tmp_path):
    contract = table("ops.claims")
    for number in range(3):
        append_rows(opened(str(tmp_path), contract), contract, [(f"c{number}", 1, "h", AT, AT)])
    seen = [(v, commit_ids(tmp_path, "ops.claims", v)[v]) for v in range(4)]
    open_table(tmp_path, "ops.claims").create_checkpoint()
    logs = sorted((tmp_path / "ops/claims/_delta_log").glob("[0-9]*.json"))
    for log in logs[:3]:
        log.unlink()
    assert [is_there(tmp_path, "ops.claims", one) for one in seen] == [True] * 4
    assert not is_there(tmp_path, "ops.claims", (3, "another")) and not is_there(tmp_path, "ops.claims", (4, seen[3][1]))


# claims


def test_a_claims_newest_row_outlives_its_retention_and_generations_only_grow(spark, tmp_path):
    lake = Lake(spark, str(tmp_path))
    for expected in (1, 2, 3):
        claims = Claims(lake, "run")
        assert claims.acquire(["silver.orders/shop"])["silver.orders/shop"].generation == expected
        claims.release()
    maintain_small(lake.root, "ops.claims", dt.datetime.now(dt.UTC).date() + dt.timedelta(days=120))
    assert read_arrow(lake.root, "ops.claims").num_rows == 1
    assert Claims(lake, "run").acquire(["silver.orders/shop"])["silver.orders/shop"].generation == 4


def test_where_the_log_of_claims_is_lost_the_tables_own_log_says_the_generation(copied):
    shutil.rmtree(copied.path("ops.claims"))
    before = contents(copied)
    fence = Claims(copied, "run").acquire(["silver.consents/sandbox_marketing"])["silver.consents/sandbox_marketing"]
    assert fence.generation > 1
    shutil.rmtree(copied.path("ops.claims"))
    run(copied, "silver.consents", force=True)
    assert contents(copied) == before


def test_an_older_claim_that_commits_after_a_newer_one_writes_nothing(spark, tmp_path):
    """The process of generation 1 wakes up only when generation 2 has committed."""
    lake = Lake(spark, str(tmp_path))
    contract = table("silver.fx_rates")
    lake.create(contract)
    rows = spark.sql("select date'2026-03-01' as rate_date, 'EUR' as currency, cast(1.1 as decimal(18,8)) as rate, 'a' as source")
    append_to(lake, rows, contract, 1, Fence("silver.fx_rates/a", 2, "newer"))
    with pytest.raises(LostClaimError, match="a newer run"):
        append_to(lake, rows, contract, 1, Fence("silver.fx_rates/a", 1, "older"))
    assert read_rows(lake, "silver.fx_rates") == 1


def test_maintenance_leaves_a_table_that_a_build_holds_and_a_build_waits_for_maintenance(copied, capsys, monkeypatch):
    monkeypatch.setattr(maintenance, "every_table", lambda: ["gold.people", "silver.consents", "silver.orders", "ops.runs"])
    before = contents(copied)
    claims = Claims(copied, "build")
    claims.acquire(["silver.consents/sandbox_marketing"])
    maintain(copied.root, worlds.LAST)
    said = capsys.readouterr().out
    assert "silver.consents: left for the next time: silver.consents/sandbox_marketing is being written by build" in said
    assert "silver.orders: compacted and vacuumed" in said and json.loads(said.splitlines()[-1]) == {"tables": 3, "left": 1}
    claims.release()
    held = Claims(copied, "maintenance")
    held.acquire(claims_on(copied, "gold.people"))
    with pytest.raises(ClaimHeldError, match=r"gold\.people is being written by maintenance"):
        run(copied, "gold.people", force=True)
    held.release()
    run(copied, "gold.people", force=True)
    assert contents(copied) == before


def test_what_is_compacted_while_it_is_written_loses_no_row(spark, tmp_path):
    """Of tables that several runs fill no claim keeps maintenance away: whoever comes second writes again or says so."""
    lake, contract, wrote = Lake(spark, str(tmp_path)), table("silver.fx_rates"), []
    lake.create(contract)

    def write():
        for number in range(6):
            rows = spark.sql(
                f"select date'2026-03-01' + {number} as rate_date, 'EUR' as currency, cast(1 as decimal(18,8)) as rate, 'a' as source"
            )
            append_to(lake, rows, contract, 1, Fence("silver.fx_rates/a", number + 1, f"run {number}"))
            wrote.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        try:
            compact(lake, contract.name, worlds.LAST)
        except Exception as error:
            assert "CONCURRENT" in str(error), error
    writer.join()
    assert wrote == list(range(6)) and lake.read(contract.name).count() == 6


def test_a_home_that_was_moved_knows_its_landed_files_and_can_build_bronze_again(built, tmp_path, monkeypatch):
    lake, home = built
    moved = tmp_path / "elsewhere"
    shutil.copytree(home, moved)
    monkeypatch.setenv("THROUGHLINE_HOME", str(moved))
    monkeypatch.delenv("THROUGHLINE_LANDING", raising=False)
    shutil.rmtree(moved / "drops")
    shutil.copytree(home / "drops", moved / "drops", ignore=shutil.ignore_patterns("2026-03-24*"))
    here = Lake(lake.spark, str(moved / "lake"))
    before = {stream: here.version(f"bronze.{stream}") for stream in ("sandbox_site__events", "sandbox_shop__order_lines")}
    days = ("--from", str(worlds.FIRST), "--to", str(worlds.LAST))
    assert "landed again" not in worlds.command(moved, "connectors", "pull", "sandbox_shop", *days).stdout
    assert sum(one["rows_in"] for source in ("sandbox_shop", "sandbox_site") for one in load_source(here, source, "test")) == 0
    assert before == {stream: here.version(f"bronze.{stream}") for stream in before}
    records = read_rows(here, "bronze.sandbox_shop__order_lines")
    rebuild(here, "bronze.sandbox_shop__order_lines", "test", print)
    assert read_rows(here, "bronze.sandbox_shop__order_lines") == records


def test_another_reporting_currency_labels_no_amount_that_was_made_in_the_one_before(copied, tmp_path):
    """Amounts of the lake are in pounds; from now on they are to be in euros."""
    orders = ("silver.fx_rates", "silver.order_lines", "silver.refunds", "silver.orders")
    with conf_with(tmp_path / "conf"):
        said = (tmp_path / "conf/platform.yml").read_text(encoding="utf-8")
        (tmp_path / "conf/platform.yml").write_text(said.replace("reporting_currency: GBP", "reporting_currency: EUR"), encoding="utf-8")
        before = contents(copied)
        last = Range(worlds.LAST, worlds.LAST)
        with pytest.raises(SelectionError, match=r"was built for GBP, Europe/London, and conf/platform\.yml now says EUR"):
            run(copied, "gold.orders_daily", days=last, changed=True)
        assert contents(copied) == before
        amounts = dict(zip(*(read_arrow_columns(copied, "silver.orders", "order_id", "reporting_amount"))))
        run(copied, *orders, days=last, changed=True)
        now = dict(zip(*(read_arrow_columns(copied, "silver.orders", "order_id", "reporting_amount"))))
        assert amounts.keys() == now.keys() and not any(now[one] == amounts[one] for one in now if now[one])
        assert not any(outcome.wrote for outcome in run(copied, *orders, days=last, changed=True))


def read_arrow_columns(lake, name, *columns):
    rows = query(open_table(lake.root, name), f"select {', '.join(columns)} from rows")
    return [rows[column].to_pylist() for column in columns]


def test_ops_runs_of_an_older_lake_gets_the_columns_that_came_since(copied):
    rows = read_arrow(copied.root, "ops.runs").drop_columns(["commits"])
    shutil.rmtree(copied.path("ops.runs"))
    from deltalake import write_deltalake

    Path(copied.path("ops.runs")).mkdir()
    write_deltalake(copied.path("ops.runs"), rows)
    assert not any(o.wrote for o in run(copied, "gold.people", "gold.orders_daily"))
    stored = read_arrow(copied.root, "ops.runs")
    assert stored.num_rows > rows.num_rows and pc.sum(pc.is_valid(stored["commits"])).as_py() == stored.num_rows - rows.num_rows


def test_events_of_a_wrong_contract_wait_for_it_alone_and_come_back_when_it_is_mended(copied, monkeypatch):
    before, (right, _) = contents(copied), contracts.contracts()
    without = {name: schema for name, schema in right.items() if name != "product_viewed"}
    shutil.rmtree(copied.path("silver.events"))
    forget(copied)

    def built_with(*said):
        monkeypatch.setattr("spark_jobs.silver.enrich.contracts.declared_contracts", lambda: said)
        outcomes = run(copied, "silver.events", force=True)
        assert {outcome.status for outcome in outcomes} == {"success"}
        names = query(open_table(copied.root, "silver.events"), "select distinct event_name from rows")["event_name"].to_pylist()
        open_now = query(
            open_table(copied.root, "silver.events__quarantine"),
            "select count(*) as rows from rows where _status = 'open' and _reason = 'contract:product_viewed:unreadable'",
        )
        return "product_viewed" in names, len(names), open_now["rows"][0].as_py()

    for _ in range(2):
        is_there, others, waiting = built_with(without, {"product_viewed": "its file is no JSON"})
        assert (is_there, others > 2, waiting > 20) == (False, True, True)
    assert built_with(right, {}) == (True, others + 1, 0)
    assert contents(copied, ["silver"]) == {name: what for name, what in before.items() if name.startswith("silver.")}
    # what is stored stays while its contract is wrong again, and the rows that wait are open again, once
    assert built_with(without, {"product_viewed": "its file is no JSON"}) == (True, others + 1, waiting)
    assert contents(copied, ["silver"])["silver.events"] == before["silver.events"]
