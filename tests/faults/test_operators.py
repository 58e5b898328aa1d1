"""What senders wrote is printed harmlessly, tables cut no amount, and what a command says stands in one sentence."""

import datetime as dt
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psutil
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from rich.console import Console

from conf import doors
from conf.printing import shown
from conf.settings import REPOSITORY, SettingsError, made
from conf.tables import table
from spark_jobs import __main__ as command_line
from spark_jobs.embedded import demo, services
from spark_jobs.errors import LostServerError, ThroughlineError, of_lost_server
from spark_jobs.io.keys import key_file, lake_key, write_key
from spark_jobs.io.small import append_rows, opened
from spark_jobs.printing import cell, console, listing
from spark_jobs.report.page import written

# markup of rich, links, escape codes, a bell, a carriage return, a title, C1 codes, marks of direction, a line that says something else
HOSTILE = "contract:[/red][bold]x[/x] [link=http://a.test]y :smile: \x1b[2J\x1b]0;title\x07 \r\x08 \x9b31m \u202ereversed\u2066 \nOK all is well\u2028z Ümlaut 漢字"
NOW = dt.datetime(2026, 3, 31, tzinfo=dt.UTC)


def is_harmless(text: str) -> bool:
    """Whether a terminal has nothing to do but to print it."""
    return all(c.isprintable() or c == "\n" for c in text)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A home whose lake holds what a hostile sender can bring into quarantine, runs and reasons."""
    home = tmp_path_factory.mktemp("hostile")
    aside = {
        "quarantine_id": ["a1", "a2"],
        "source": [HOSTILE, "shop"],
        "_file": [f"/drops/{HOSTILE}.csv", None],
        "_row": pa.array([1, None], pa.int64()),
        "payload": [f'{{"id": "{HOSTILE}"}}', None],
        "payload_bytes": pa.array([None, b"\x1b[2J\xff"], pa.binary()),
        "_reason": [HOSTILE, "malformed_json"],
        "_status": ["open", "open"],
        "_quarantined_at": pa.array([NOW, NOW], pa.timestamp("us", "UTC")),
    }
    (home / "lake" / "silver").mkdir(parents=True)
    write_deltalake(home / "lake/silver/events__quarantine", pa.table(aside))
    contract = table("ops.runs")
    run = {"run_id": "r", "process_id": "p", "table_name": "silver.events", "source": HOSTILE, "status": "failed", "error": HOSTILE}
    run |= {"started_at": NOW, "finished_at": NOW, "from_date": NOW.date(), "to_date": NOW.date()}
    append_rows(opened(home / "lake", contract), contract, [tuple(run.get(name) for name in contract.column_names)])
    return home


def command(home, *words, width="100"):
    env = {**os.environ, "THROUGHLINE_HOME": str(home), "COLUMNS": width, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, "-m", *words], cwd=REPOSITORY, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    "words",
    [
        ("quarantine", "list"),
        ("quarantine", "show", "silver.events"),
        ("quarantine", "show", "silver.events", "a1"),
        ("status",),
        ("explain", "table", "silver.events"),
        ("quarantine", "show", "silver.events", HOSTILE),
        ("explain", "table", HOSTILE),
        ("run", HOSTILE, "--from", "2026-03-31", "--to", "2026-03-31"),
        ("load", HOSTILE),
    ],
)
def test_what_senders_wrote_is_printed_harmlessly(lake, words):
    said = command(lake, "spark_jobs", *words)
    assert said.returncode in (0, 2) and "Traceback" not in said.stderr, said.stderr
    assert is_harmless(said.stdout) and is_harmless(said.stderr)
    assert "OK all is well" not in [line.strip() for line in (said.stdout + said.stderr).splitlines()]
    assert said.stdout or said.stderr


def test_the_reason_stands_there_whole_and_as_it_was_sent(lake):
    for words in (("quarantine", "list"), ("quarantine", "show", "silver.events")):
        said = command(lake, "spark_jobs", *words, width="800").stdout
        assert "contract:[/red][bold]x[/x] [link=http://a.test]y :smile: \\x1b[2J" in said and "Ümlaut 漢字" in said
        assert "\\u202e" in said and "\\n" in said
    assert "b'\\x1b[2J\\xff'" in command(lake, "spark_jobs", "quarantine", "show", "silver.events", "a2").stdout


def test_a_connector_s_sentences_are_printed_harmlessly(lake):
    said = command(lake, "connectors", "pull", HOSTILE, "--from", "2026-03-31", "--to", "2026-03-31")
    assert said.returncode == 2 and said.stderr and is_harmless(said.stderr)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ThroughlineError(HOSTILE), 2, "ThroughlineError: contract:"),
        (SettingsError(HOSTILE), 2, "SettingsError: contract:"),
        (RuntimeError(HOSTILE), 1, "Traceback"),
    ],
)
def test_the_last_words_of_a_command_are_harmless(home, monkeypatch, capsys, error, code, said):
    def fail(**_):
        raise error

    monkeypatch.setattr(command_line, "app", fail)
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    monkeypatch.setenv("THROUGHLINE_DEBUG", "1")
    with pytest.raises(SystemExit) as end:
        command_line.main()
    stderr = capsys.readouterr().err
    assert end.value.code == code and said in stderr and is_harmless(stderr) and "\\x1b[2J" in stderr


def test_letters_of_every_script_stay_and_codes_show():
    assert shown("Ünïcödé 漢字 עברית العربية 👍 a\u00a0b\u3000c") == "Ünïcödé 漢字 עברית العربية 👍 a\u00a0b\u3000c"
    assert shown("a\tb\nc\x1b\x7f\x85\udcff") == "a\\tb\\nc\\x1b\\x7f\\x85\\udcff"
    assert shown("a\nb\r", lines=True) == "a\nb\\r"
    assert shown(None) == "None"


def test_every_console_of_the_product_takes_text_as_text():
    outside = [
        path.relative_to(REPOSITORY).as_posix()
        for root in ("spark_jobs", "connectors", "dags", "conf")
        for path in (REPOSITORY / root).rglob("*.py")
        if re.search(r"rich\.(console|table)", path.read_text(encoding="utf-8"))
    ]
    assert outside == ["spark_jobs/printing.py"]


def test_markup_in_a_table_is_text(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    rows = listing("name", "amount", numbers=("amount",))
    rows.add_row("[/red]", "1,234.00")
    rows.add_row(cell("[bold]\x1b"), "0.00")
    console().print(rows)
    said = capsys.readouterr().out
    assert "[/red]" in said and "[bold]\\x1b" in said


@pytest.mark.parametrize("width", [60, 80, 132])
def test_no_amount_is_cut_however_narrow_the_terminal(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(demo, "out", console())
    models = ["data_driven", "first", "last", "last_non_direct", "linear", "position", "time_decay"]
    columns = {m: [f"{Decimal(place * 1_000_000 + row):,.2f}" for row in range(3)] for place, m in enumerate(models, start=1)}
    demo.show_side_by_side("revenue by channel and model, GBP", "channel", ["organic_shopping", "paid_search", "all"], columns)
    said = capsys.readouterr().out
    assert "…" not in said and max(map(len, said.splitlines())) <= width
    assert all(amount in said for column in columns.values() for amount in column) and all(m in said for m in models)
    assert said.count("organic_shopping") == said.count("all") == {60: 4, 80: 3, 132: 1}[width]


def test_the_live_table_breaks_lines_and_cuts_nothing(monkeypatch):
    screen = Console(width=80, record=True, markup=False, file=open(os.devnull, "w"))  # noqa: SIM115
    table = listing("stage", "task", "state", "seconds", "rows", numbers=("seconds",), framed=False)
    rows = "30,997 in, 30,737 out, 157 duplicates, 22 late, 81 quarantined; 1 of 1 tables written"
    table.add_row("ingest_sandbox_marketing", "conform", cell(*demo.MARKS["success"]), "43.2", rows)
    screen.print(table)
    said = screen.export_text()
    assert "…" not in said and all(amount in said for amount in ("30,997", "30,737", "157", "43.2"))


class GrpcError(Exception):
    """What a Spark Connect client raises, as far as it is asked."""

    def __init__(self, code="UNKNOWN", condition=None):
        super().__init__("UNAVAILABLE")
        self.code_, self.condition = code, condition

    def getGrpcStatusCode(self):
        return f"StatusCode.{self.code_}"

    def getCondition(self):
        return self.condition


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (GrpcError("UNAVAILABLE"), True),
        (GrpcError("INTERNAL", "INVALID_HANDLE.SESSION_NOT_FOUND"), True),
        (GrpcError("INTERNAL", "INVALID_HANDLE.SESSION_CHANGED"), True),
        (GrpcError("UNKNOWN", "RESPONSE_ALREADY_RECEIVED"), True),
        (GrpcError("INTERNAL", "CAST_INVALID_INPUT"), False),
        (RuntimeError("UNAVAILABLE"), False),
    ],
)
def test_a_lost_server_is_known_by_its_code_and_not_by_words(monkeypatch, error, is_lost):
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:15002/;token=secret;user_id=x")
    told = of_lost_server(error)
    assert isinstance(told, LostServerError) == is_lost
    if told:
        assert told.exit_code == 4 and "secret" not in str(told) and "sc://127.0.0.1:15002" in str(told)
    monkeypatch.delenv("SPARK_REMOTE")
    assert of_lost_server(error) is None


def test_what_to_try_next_are_commands_that_there_are(home, monkeypatch, capsys):
    monkeypatch.setattr(demo, "out", console())
    demo.show_next(dt.date(2026, 3, 31))
    said = capsys.readouterr().out
    assert said.count(f"THROUGHLINE_HOME={home}") == len(demo.NEXT) >= 3
    for line, _ in demo.NEXT:
        words = line.format(last="2026-03-31").split()
        if words[0] == "make":
            assert f"\n{words[1]}:" in (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        else:
            known = command(home, *words[2:], "--help")
            assert known.returncode == 0 and words[1] == "-m"


def test_a_command_ends_with_the_code_that_it_was_given(lake):
    assert command(lake, "spark_jobs", "vault", "show").returncode == 0
    (lake / "vault").mkdir()
    (lake / "vault" / "hmac_key.json").write_text("damaged")
    for words in (("vault", "show"), ("doctor",)):
        assert command(lake, "spark_jobs", *words).returncode != 0


@pytest.mark.parametrize("said", ["[]", "null", "", '{"starter_pid": "x", "home": "HOME"}', '{"home": "HOME"}', "{cut"])
def test_a_note_of_services_that_says_nothing_means_that_none_run(home, said):
    home.mkdir(exist_ok=True)
    (home / "services.json").write_text(said.replace("HOME", str(home)), encoding="utf-8")
    assert services.running_state() is None and services.stop_leftovers() is False
    assert not (home / "services.json").exists()


def test_a_copied_home_does_not_take_the_other_one_s_services_for_its_own(home):
    home.mkdir(exist_ok=True)
    me = psutil.Process()
    other = {
        "home": "/elsewhere",
        "starter_pid": me.pid,
        "starter_created": me.create_time(),
        "mark": "of the other",
        "ports": {},
        "pids": {},
    }
    with subprocess.Popen(["sleep", "60"], env={services.MARK: "of the other"}) as sleeper:
        (home / "services.json").write_text(json.dumps(other), encoding="utf-8")
        assert services.running_state() is None and services.stop_leftovers() is False
        assert sleeper.poll() is None
        (home / "services.json").write_text(json.dumps({**other, "home": str(home)}), encoding="utf-8")
        assert services.running_state() is not None
        sleeper.kill()


def test_pages_written_at_once_are_each_whole(tmp_path):
    out = tmp_path / "report.html"
    pages = [letter * 200_000 for letter in "abcdefgh"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda page: written(out, page), pages * 5))
    assert out.read_text() in pages and [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_page_goes_into_no_device_and_through_no_other_file_s_link(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "report.tmp").symlink_to(tmp_path / "precious")
    written(tmp_path / "report.html", "page")
    assert (tmp_path / "precious").read_text() == "mine" and (tmp_path / "report.html").read_text() == "page"
    with pytest.raises(ThroughlineError, match="is no file, so the page was not written"):
        written(tmp_path, "page")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("what", ["home", "secret", "key"])
def test_what_another_user_laid_in_wait_is_not_trusted(home, tmp_path, what):
    home.mkdir(exist_ok=True)
    if what == "home":
        os.chown(home, 65534, 65534)
        with pytest.raises(SettingsError, match=r"belongs to user 65534 of this machine"):
            made(home / "lake")
    elif what == "secret":
        path = made(home / doors.CONNECT_TOKEN.parent) / doors.CONNECT_TOKEN.name
        path.write_text("known")
        os.chown(path, 65534, 65534)
        with pytest.raises(SettingsError, match=r"connect_token: belongs to user 65534"):
            doors.secret(doors.CONNECT_TOKEN)
    else:
        write_key(key_file(), b"k" * 32)
        os.chown(key_file(), 65534, 65534)
        with pytest.raises(SettingsError, match=r"hmac_key\.json: belongs to user 65534"):
            lake_key(tmp_path / "lake")


def test_a_reader_s_query_ends_and_a_server_without_memory_is_started_again(home):
    words = services.spark_command({"connect": 1, "jdbc": 2})
    said = dict(word.split("=", 1) for word in words if "=" in word)
    assert "-XX:+ExitOnOutOfMemoryError" in said["spark.driver.extraJavaOptions"].split()
    assert 0 < int(said["spark.sql.thriftServer.queryTimeout"]) <= 600
