"""Command line of the connectors: bring records in, or make the sandbox's."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from conf import doors, settings
from conf.personal import masked_text
from conf.printing import shown
from connectors import operating
from connectors.kernel import notes, pulls
from connectors.kernel.connector import Counts, Plan, Scope
from connectors.kernel.errors import ConnectorError, FailedStreamsError, StreamDeclarationError
from connectors.kernel.landing import CANNOT_WRITE, Landing
from connectors.kernel.pulls import harmless

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Bring records in from channels, or make a sandbox world.",
)
sandbox = typer.Typer(no_args_is_help=True, help="A small seeded marketing world, written as files.")
app.add_typer(sandbox, name="sandbox")
app.add_typer(operating.state, name="state")
app.add_typer(operating.budget, name="budget")
app.command()(operating.discover)
app.command()(operating.new)


@app.command()
def pull(
    source: str,
    from_: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first day, inclusive")],
    to: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last day, inclusive")],
    run_id: Annotated[str, typer.Option(help="stands in every record; by default a new one")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be landed, and write nothing")] = False,
    scheduled: Annotated[
        bool, typer.Option("--scheduled/--named", help="the days are a schedule's: streams with a cursor go on from it")
    ] = False,
    account: Annotated[str, typer.Option(help="one of the source's accounts; by default all")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="records of each slice, for a try: what is landed is not loaded")] = None,
) -> None:
    """Land a source's records of the days from..to; prints one JSON line with counts. What is landed already is skipped; a stream that fails
    costs no other, and is named at the end."""
    if from_ > to:
        raise ConnectorError(f"--from {from_.date()} is after --to {to.date()}; give the first day first")
    declared = settings.source(source)
    where = _landing_folder()
    run = run_id or f"pull-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    act = pulls.plan if dry_run else pulls.pull
    if not dry_run:
        settings.refuse_full_disk(where)
    with _failures() as (failed, done):
        done |= act(declared, Scope(from_.date(), to.date(), not scheduled, account, limit), Landing(Path(where), run), _say)
    streams = {name: _told(one) for name, one in done.items()}
    total = {key: sum(one[key] for one in streams.values()) for key in ("files", "landed", "skipped", "refused", "records")}
    line = {"source": source, "from": f"{from_:%Y-%m-%d}", "to": f"{to:%Y-%m-%d}", "run_id": run, "dry_run": dry_run, **total}
    line |= {"note": notes.note_of(source, done)} if dry_run else {}
    typer.echo(json.dumps({**line, "failed": sorted(failed), "streams": streams}))
    if failed:
        raise FailedStreamsError(failed, done)


@app.command()
def receive(
    sources: Annotated[list[str] | None, typer.Argument(help="sources with a stream of mode webhook; by default all")] = None,
    host: Annotated[str, typer.Option(help="where to listen; before it stands a proxy with TLS")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one")] = 8480,
    seconds: Annotated[float, typer.Option(min=0, help="how old what came becomes before it is landed; a pull lands it at once")] = 900,
) -> None:
    """Receive what vendors send by themselves until this is ended. What is not signed is refused, and nothing is answered before it is durable.
    Prints one JSON line with the addresses."""
    from connectors.kernel import receiver  # the web server loads only when it is needed

    run = f"receive-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    receiver.receive(
        sources or settings.source_names(), host, port, Landing(Path(_landing_folder()), run), lambda text: _say(harmless(text)), seconds
    )


def _landing_folder() -> str:
    where = settings.platform().landing
    if "://" in where:
        raise ConnectorError(f"landing is {where}; files are dropped into a local folder: set landing in conf/platform.yml to one")
    return where


@app.command()
def declarations(names: Annotated[list[str] | None, typer.Argument(help="sources; all where none is named")] = None) -> None:
    """Try the declarations of sources: their files, mappings, and what their streams say to their connectors. One sentence per mistake."""
    from connectors.kernel.declarations import faults

    wrong = faults()
    for name in names or ():
        if name not in settings.source_names():
            raise settings.SettingsError(f"no source {name!r}: conf/sources has {list(settings.source_names())}")
    said = [wrong[name] for name in names or sorted(wrong) if name in wrong]
    for one in said:
        typer.echo(shown(one))
    raise typer.Exit(2 if said else 0)


@app.command()
def check(source: Annotated[str, typer.Argument(help="by default every source")] = "") -> None:
    """Take the cheapest real look at whether each stream can be pulled; prints one JSON line for each source. Nothing is pulled."""
    every: dict[str, Sequence[ConnectorError]] = {}
    for name in (source,) if source else settings.source_names():
        with _failures(name) as (failed, found):
            found |= pulls.check(settings.checked(name))
        streams = {stream: {"state": "empty" if one.is_empty else "ok", "said": harmless(one.said)} for stream, one in found.items()}
        said = {title: harmless("; ".join(map(str, errors))) for title, errors in failed.items()}
        typer.echo(json.dumps({"source": name, "streams": streams, "failed": said}))
        every |= failed
    if every:
        raise FailedStreamsError(every, {})


@contextmanager
def _failures(source: str = "") -> Iterator[tuple[dict[str, Sequence[ConnectorError]], dict[str, Any]]]:
    """What failed in the block, by "source.stream" (or by source, where its declaration is wrong and one is given), and what was done."""
    failed: dict[str, Sequence[ConnectorError]] = {}
    done: dict[str, Any] = {}
    try:
        yield failed, done
    except FailedStreamsError as error:
        failed |= error.failures
        done |= error.done
    except (StreamDeclarationError, settings.SettingsError) as error:
        if not source:
            raise
        failed[source] = [ConnectorError(str(error))]


def _told(done: Counts | Plan) -> dict[str, Any]:
    """A stream's counts, and what is planned of it, as the JSON line has them: without what is unknown or names a person."""
    counts, slices = (done.counts, done.slices) if isinstance(done, Plan) else (done, None)
    told: dict[str, Any] = {key: getattr(counts, key) for key in ("files", "landed", "skipped", "refused", "records")}
    if counts.calls:
        told |= {"calls": counts.calls, "waited_seconds": round(counts.waited_seconds, 1)}
    if slices is None:
        return told
    listed = [{key: one for key, one in dataclasses.asdict(piece).items() if one is not None} for piece in slices]
    return told | {"slices": [{key: harmless(one) if isinstance(one, str) else one for key, one in piece.items()} for piece in listed]}


def _say(text: str) -> None:
    typer.echo(text, err=True)


@sandbox.command()
def make(
    out: Annotated[Path, typer.Option(help="folder the files are written below, as <source>/<stream>/…")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="last day, inclusive")],
    people: Annotated[int, typer.Option(min=10)] = 2000,
    days: Annotated[int, typer.Option(min=1)] = 30,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1)] = 7,
    events_only: Annotated[bool, typer.Option("--events-only", help="web events alone")] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="web events as Parquet: a payload column plus typed columns, without truth")
    ] = False,
    apis: Annotated[
        Path | None, typer.Option(help="folder of what vendors' APIs serve (`sandbox serve`); these rows are no drops then")
    ] = None,
    vendor: Annotated[list[str] | None, typer.Option(help="one that serves, may be said again; default: all")] = None,
) -> None:
    """Make the sandbox world's files; the same arguments make the same bytes. Prints one JSON line with counts."""
    from connectors.sandbox import files, truth, world  # numpy and the pools load only when they are needed
    from connectors.sandbox.apis import served

    made = world.make_world(people=people, days=days, until=until.date(), seed=seed)
    counts = files.write_world(made, out, events_only=events_only, parquet=parquet)
    if not parquet:
        truth.write_truth(made, out)
    if apis:
        counts |= served.part(out, apis, vendor or ())
    first = made.first_day
    typer.echo(
        json.dumps({"out": str(out), "from": str(first), "to": f"{until:%Y-%m-%d}", "people": people, "seed": seed, "records": counts})
    )


@sandbox.command()
def serve(
    apis: Annotated[Path, typer.Option(help="the folder that `sandbox make --apis` wrote")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one")] = 0,
    now: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the vendors' day (UTC); default: today")] = None,
    connections: Annotated[
        Path | None, typer.Option(help="file that gets the connections' variables, AIRFLOW_CONN_…, by which a pull reaches them")
    ] = None,
) -> None:
    """Serve the sandbox's vendors over HTTP on this machine, each in its own shape, until it is ended. Prints one JSON line with their address."""
    from connectors.sandbox.apis import server

    if not apis.is_dir():
        raise ConnectorError(f"{apis}: is no folder; make one with `python -m connectors sandbox make --apis {apis} …` first")
    server.serve(apis, port, now and now.replace(tzinfo=UTC), connections)


@sandbox.command()
def deliver(
    apis: Annotated[Path, typer.Option(help="the folder that `sandbox make --apis` wrote")],
    to: Annotated[str, typer.Option("--url", help="where SendGrid's events are received")] = "http://127.0.0.1:8480/sendgrid/main/events",
    from_: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day of what came in; default: all")] = None,
    until: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day, inclusive")] = None,
) -> None:
    """Send the e-mail events that the sandbox's SendGrid has to a receiver, signed. Prints one JSON line with counts."""
    from connectors.sandbox.apis import sendgrid

    first, last = (f"{day:%Y-%m-%d}" if day else "" for day in (from_, until))
    typer.echo(json.dumps({"to": to, **sendgrid.deliver(apis, to, first, last)}))


@sandbox.command("score")
def show_score(
    truth: Annotated[Path | None, typer.Option(help="folder of the truth tables; default: the demo's")] = None,
    lake: Annotated[Path | None, typer.Option(help="root of the lake; default: conf/platform.yml")] = None,
) -> None:
    """What the pipeline got right about the sandbox world."""
    from connectors.sandbox.score import attribution, score  # polars loads only when it is needed

    folder = truth or settings.home() / "drops" / "truth"
    if not (folder / "records.parquet").is_file():
        raise ConnectorError(f"{folder} holds no truth tables: make a world with `python -m connectors sandbox make --out FOLDER …` first")
    root = lake or Path(settings.platform().lake)
    for line in (*score(folder, root), *attribution(folder, root)):
        typer.echo(line)


def main(commands: typer.Typer = app) -> int:
    """Run them with this process's arguments; what a user can mend is one sentence, without a stack trace."""
    try:
        os.umask(doors.OTHERS)
        settings.hold(settings.home())
        doors.close_home()
        # what typer.Exit was raised with is returned here, not raised
        ended = commands(standalone_mode=False)
    except (ConnectorError, settings.SettingsError) as error:
        # an Airflow task waits as long without a worker
        if os.environ.get("THROUGHLINE_HOLDER") and (wait := getattr(error, "retry_after", None)):
            print(json.dumps({"retry_after": wait}), flush=True)
        print(shown(masked_text(f"error: {error}"), lines=True), file=sys.stderr)
        return getattr(error, "exit_code", 2)
    except OSError as error:
        advice = CANNOT_WRITE.get(error.errno or 0, "look at its disk")
        print(shown(f"error: {error.filename or 'a file'}: {error.strerror or error}; {advice}, then try again"), file=sys.stderr)
        return 4
    except typer.Abort:
        return 130
    except Exception as error:
        # click's own usage errors know how to show themselves; everything else keeps its stack trace
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        raise
    return ended if isinstance(ended, int) else 0


if __name__ == "__main__":
    sys.exit(main())
