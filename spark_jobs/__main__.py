"""The one command line: `python -m spark_jobs …`, and the file that spark-submit runs."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Annotated, Any

if __package__ in (None, ""):
    # spark-submit runs this file by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import typer

from conf.contracts import contracts
from conf.doors import OTHERS, close_home
from conf.printing import shown
from conf.settings import SettingsError, checked, faults, hold, home, platform, refuse_full_disk
from spark_jobs.command import day, open_lake
from spark_jobs.embedded.cli import app as embedded
from spark_jobs.embedded.forms import app as forms
from spark_jobs.errors import ThroughlineError, of_lost_server, of_trouble, safe_message

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Throughline: build, inspect and repair the lake's tables.",
)
quarantine_app = typer.Typer(no_args_is_help=True, help="Rows set aside: list, show, replay.")
app.add_typer(quarantine_app, name="quarantine")
vault_app = typer.Typer(no_args_is_help=True, help="The key that people are known by: show, backup, restore.")
app.add_typer(vault_app, name="vault")
app.registered_commands += [*embedded.registered_commands, *forms.registered_commands]

Lake = Annotated[str, typer.Option(help="root of the lake; default: conf/platform.yml")]


# a stack trace quotes the values of rows, so it is shown only to who asks for it
UNKNOWN = "This went wrong and is not the input's fault: {}. THROUGHLINE_DEBUG=1 before the same command shows all that is known of it."


def holder() -> str:
    """Who claims tables: this process, for its task if it has one (the same for each of its tries)."""
    from spark_jobs.engine.claims import own_holder

    return own_holder(os.environ.get("THROUGHLINE_HOLDER", ""))


def finish(outcomes: list[dict[str, Any]]) -> None:
    """The last line of output, for who reads it by program."""
    keys = ("rows_in", "rows_out", "duplicates", "late", "quarantined")
    totals = {k: sum(o.get(k, 0) for o in outcomes) for k in keys}
    print(json.dumps({"tables": len(outcomes), "wrote": sum(bool(o.get("wrote")) for o in outcomes), **totals}), flush=True)


def say(outcome: Any) -> None:
    """One line per table."""
    name = f"{outcome.table}{f'[{outcome.source}]' if outcome.source else ''}"
    facts = f"in {outcome.rows_in:,} · out {outcome.rows_out:,}"
    facts += "".join(f" · {k} {getattr(outcome, k):,}" for k in ("unchanged", "duplicates", "late", "quarantined") if getattr(outcome, k))
    verdict = {"skipped": "nothing changed, skipped", "failed": f"FAILED: {outcome.error}"}.get(
        outcome.status, facts + ("" if outcome.wrote else " · no new version")
    )
    print(shown(f"{outcome.seconds:6.1f} s  {name:<42} {outcome.days}  {verdict}"), flush=True)


@app.command()
def check(
    what: Annotated[list[str] | None, typer.Argument(help="tables, layers, sources; all where nothing is named")] = None,
) -> None:
    """Try every declaration on empty inputs: sources, mappings, rules, contracts and transforms; each mistake is one sentence."""
    from spark_jobs.engine.check import mistakes
    from spark_jobs.io.session import get_session

    began = time.monotonic()
    found = 0
    for one in mistakes(what or (), lambda: get_session(small=True, few=True)):
        print(shown(one), flush=True)
        found += 1
    print(f"{found} mistake{'s' if found > 1 else ''}" if found else f"all is right ({time.monotonic() - began:.0f} s)", flush=True)
    if found:
        raise typer.Exit(2)


@app.command()
def run(
    selection: Annotated[list[str], typer.Argument(help="tables, layers, +table, table+ or all")],
    from_: Annotated[str, typer.Option("--from", help="first day, YYYY-MM-DD")],
    to: Annotated[str, typer.Option("--to", help="last day, inclusive")],
    source: Annotated[str, typer.Option(help="only this source's part of shared tables")] = "",
    changed: Annotated[bool, typer.Option(help="also the days that inputs touched since the last success")] = False,
    force: Annotated[bool, typer.Option(help="build even when nothing changed since the last success")] = False,
    lake: Lake = "",
) -> None:
    """Build tables for a range of days, in dependency order, in this one process."""
    from spark_jobs.engine.runner import Runner
    from spark_jobs.engine.selection import select_tables
    from spark_jobs.io.ranges import Range

    days = Range(day(from_), day(to))
    if days.first > days.last:
        raise ThroughlineError(f"--from {days.first} is after --to {days.last}")
    names = select_tables(selection)
    if source:
        wanted = checked(source).silver
        names = [n for n in names if not wanted or n in wanted]
    else:
        for said in faults().values():
            print(shown(f"a source is left out, its tables stay as they are: {said}"), flush=True)
    for said in contracts()[1].values() if "silver.events" in names else ():
        print(shown(f"events of this name are set aside until it is repaired: {said}"), flush=True)
    refuse_full_disk(lake or platform().lake)
    runner = Runner(open_lake(lake), holder(), say, force)
    outcomes = runner.run(names, days, source or None, changed)
    if not outcomes:
        said = f"{source} fills none of them" if source else "no source has delivered anything to them yet"
        print(f"nothing to build for {', '.join(selection)}: {said}", flush=True)
    finish([vars(o) for o in outcomes])


@app.command()
def load(
    source: Annotated[str, typer.Argument(help="a name in conf/sources")],
    from_: Annotated[str, typer.Option("--from", help="unused by files, kept so that every stage takes a range")] = "",
    to: Annotated[str, typer.Option("--to")] = "",
    lake: Lake = "",
) -> None:
    """Landing files of a source into its bronze tables, each file once."""
    from spark_jobs.bronze.load import load_source

    refuse_full_disk(lake or platform().lake)
    finish(load_source(open_lake(lake), source, holder()))


@app.command()
def report(out: Annotated[str, typer.Option(help="the page; default: $THROUGHLINE_HOME/report.html")] = "", lake: Lake = "") -> None:
    """Write the report page from the gold and ops tables."""
    from conf.settings import home
    from spark_jobs.report.page import build_report

    settings = platform()
    if out and Path(out).is_dir():
        raise ThroughlineError(f"{out} is a folder: give the page's file, as --out {Path(out) / 'report.html'}")
    page = build_report(lake or settings.lake, Path(out) if out else home() / "report.html", settings)
    print(json.dumps({"report": str(page)}))


@app.command()
def rebuild(table: Annotated[str, typer.Argument(help="layer.table, or bronze.<source>__<stream>")], lake: Lake = "") -> None:
    """Put a table that is damaged or not trusted aside and build it again over all its days."""
    from spark_jobs.ops.rebuild import rebuild as do

    finish(do(open_lake(lake), table, holder(), say))


@app.command()
def migrate(
    table: Annotated[str, typer.Argument(help="layer.table; default: all")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what differs")] = False,
    lake: Lake = "",
) -> None:
    """Stored tables as conf/tables declares them now: columns that went are dropped, types changed where every value fits exactly."""
    from spark_jobs.ops.migrate import migrate as do

    found = do(open_lake(lake), table, holder(), dry_run)
    print(json.dumps({"differences": len(found), "dry_run": dry_run}), flush=True)


@app.command()
def drift(lake: Lake = "") -> None:
    """Note in ops.schema_changes what `connectors discover` found: its differences as JSON lines, from standard input."""
    from spark_jobs.engine.schema_changes import found_changes, record_changes

    changes = found_changes(sys.stdin, holder())
    record_changes(lake or platform().lake, changes)
    print(json.dumps({"differences": len(changes)}), flush=True)


@app.command()
def explain(kind: Annotated[str, typer.Argument(help="table")], name: Annotated[str, typer.Argument()], lake: Lake = "") -> None:
    """A table's contract, last runs, ledger, upstream and downstream."""
    from spark_jobs.ops.explain import explain_table

    if kind != "table":
        raise ThroughlineError(f"cannot explain a {kind!r}; say: explain table {name}")
    explain_table(name, lake or platform().lake)


@quarantine_app.command("list")
def quarantine_list(table: Annotated[str, typer.Argument()] = "", lake: Lake = "") -> None:
    """Open rows per table and reason."""
    from spark_jobs.ops.replay import list_open

    list_open(lake or platform().lake, table)


@quarantine_app.command("show")
def quarantine_show(table: str, quarantine_id: Annotated[str, typer.Argument()] = "", limit: int = 20, lake: Lake = "") -> None:
    """The rows themselves: id, reason, file, line and payload."""
    from spark_jobs.ops.replay import show

    show(lake or platform().lake, table, quarantine_id, limit)


@quarantine_app.command("replay")
def quarantine_replay(
    table: str,
    quarantine_id: str,
    payload: Annotated[str, typer.Option(help="file with the repaired record; default: the record as it is")] = "",
    lake: Lake = "",
) -> None:
    """Put a repaired record back in under its own id and close its row; doing it twice changes nothing."""
    from spark_jobs.ops.replay import replay

    finish(replay(open_lake(lake), table, quarantine_id, Path(payload) if payload else None, holder(), say))


@quarantine_app.command("withdraw")
def quarantine_withdraw(
    source: Annotated[str, typer.Argument(help="a name in conf/sources")],
    slice_: Annotated[str, typer.Argument(metavar="SLICE", help="what was delivered again: a day, or a folder's name below landing")],
    apply: Annotated[bool, typer.Option(help="take the rows out; without it they are only counted and shown")] = False,
    lake: Lake = "",
) -> None:
    """What a replaced delivery brought to tables that keep rows by key, as events: show it, and with --apply take it out."""
    from spark_jobs.ops.withdraw import withdraw

    finish(withdraw(open_lake(lake), checked(source).source, slice_, apply, holder(), say))


@vault_app.command("show")
def vault_show(lake: Lake = "") -> None:
    """The key's fingerprint, and whether it is the lake's."""
    from spark_jobs.io.keys import key_file, key_state

    state = key_state(lake or platform().lake)
    print(shown(f"{key_file()}: {state.seen}{f'. {state.fix}' if state.fix else ''}"))
    raise typer.Exit(2 if state.fix else 0)


@vault_app.command("backup")
def vault_backup(file: Path, lake: Lake = "") -> None:
    """Copy the key to a new file that only you may read; keep it away from this machine."""
    from spark_jobs.io.keys import backup

    print(f"the key {backup(lake or platform().lake, file)} is in {file}")


@vault_app.command("restore")
def vault_restore(
    file: Path,
    replace: Annotated[bool, typer.Option("--replace", help="also where another key is; that one is kept beside")] = False,
    lake: Lake = "",
) -> None:
    """Put a back-up of the key in place; one that the lake was not made with is refused."""
    from spark_jobs.io.keys import key_file, restore

    print(f"the key {restore(lake or platform().lake, file, replace)} is in {key_file()}")


def main() -> None:
    """Run the command; a user's mistake ends with one sentence, not a stack trace."""
    try:
        os.umask(OTHERS)
        if "clean" not in sys.argv[1:2]:
            hold(home())
            close_home()
        # what typer.Exit was raised with is returned here, not raised
        ended = app(standalone_mode=False)
        if isinstance(ended, int) and ended:
            sys.exit(ended)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        # usage errors know how to show themselves
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(2)
        told = error if isinstance(error, (ThroughlineError, SettingsError)) else of_lost_server(error) or of_trouble(error)
        said, code = (f"{type(told).__name__}: {told}", getattr(told, "exit_code", 2)) if told else (UNKNOWN.format(safe_message(error)), 1)
        print(shown(said, lines=True), file=sys.stderr, flush=True)
        if os.environ.get("THROUGHLINE_DEBUG"):
            print(shown(traceback.format_exc(), lines=True), file=sys.stderr, flush=True)
        # a client whose server is gone would wait for it once more
        os._exit(code) if os.environ.get("SPARK_REMOTE") else sys.exit(code)


if __name__ == "__main__":
    main()
