"""Commands for whoever keeps API sources running: how far each was pulled, what is left of its budgets, what its records look like, a new one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from conf import settings
from conf.settings import REPOSITORY, home
from connectors.kernel.api import Api, budget_of
from connectors.kernel.connector import connector_of
from connectors.kernel.errors import ConnectorError
from connectors.kernel.fields import differences, fields_of
from connectors.kernel.pulls import harmless
from connectors.kernel.skeleton import write_skeleton
from connectors.kernel.state import Key, leased, peek, reset
from connectors.kernel.streams import Account, Stream

state = typer.Typer(no_args_is_help=True, help="How far each stream was pulled.")
budget = typer.Typer(no_args_is_help=True, help="What is used of a source's budgets.")
Source = Annotated[str, typer.Argument(help="a source that is asked over HTTP")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
StreamName = Annotated[str, typer.Option("--stream", help="by default every stream")]
AccountName = Annotated[str, typer.Option("--account", help="by default every account")]


@state.command()
def show(source: Source) -> None:
    """Print one JSON line per stream and account: its mode, cursor, and how many slices of an unfinished pull are landed."""
    for stream, account in _streams(source):
        said = peek(key_of(stream, account))
        told = {"mode": stream.shape.mode, "cursor": said.get("cursor"), "landed_of_unfinished_pull": len(said.get("done", ()))}
        typer.echo(json.dumps({"source": source, "stream": stream.name, "account": account.name, **told}))


@state.command("reset")
def forget(source: Source, stream: StreamName = "", account: AccountName = "", yes: Yes = False) -> None:
    """Forget how far streams were pulled: the next pull begins at their start. What is landed stays, and is not landed twice where it is equal."""
    chosen = list(_streams(source, stream, account))
    _ask(yes, f"forget the state of {', '.join(_title(one, by) for one, by in chosen)}? Their next pull begins at their start")
    for one, by in chosen:
        was = reset(key_of(one, by))
        typer.echo(json.dumps({"source": source, "stream": one.name, "account": by.name, "was_there": was}))


@state.command("set")
def place(
    source: Source,
    stream: Annotated[str, typer.Argument(help="one of its streams of mode cursor")],
    cursor: Annotated[datetime, typer.Argument(help="the next pull begins here (UTC)")],
    account: AccountName = "",
    yes: Yes = False,
) -> None:
    """Set the cursor of a stream."""
    chosen = list(_streams(source, stream, account))
    if chosen[0][0].shape.mode != "cursor":
        raise ConnectorError(f"{source}.{stream}: has mode {chosen[0][0].shape.mode}; only a stream of mode cursor has one")
    at = cursor.replace(tzinfo=cursor.tzinfo or UTC).astimezone(UTC).isoformat()
    _ask(yes, f"set the cursor of {', '.join(_title(one, by) for one, by in chosen)} to {at}?")
    for one, by in chosen:
        with leased(key_of(one, by)) as kept:
            was = kept.cursor
            kept.move(at)
        typer.echo(json.dumps({"source": source, "stream": one.name, "account": by.name, "was": was, "cursor": at}))


@budget.command("show")
def used(source: Source) -> None:
    """Print one JSON line per connection and budget: of each limit how many calls count now, and until when nobody asks."""
    seen = set()
    for stream, account in _streams(source):
        name = str(stream.said.get("budget", ""))
        if not stream.limits or (account.secret, name) in seen:
            continue
        seen.add((account.secret, name))
        one = budget_of(stream, account, home() / "state")
        limits = [(limit, 0) for limit in stream.limits] if not one.file.exists() else one.used()
        until = one.paused_until() if one.file.exists() else None
        told = [{"calls": limit.calls, "seconds": limit.seconds, "spent_at_most": limit.spent, "used": n} for limit, n in limits]
        paused = datetime.fromtimestamp(until, UTC).isoformat() if until else None
        typer.echo(
            json.dumps(
                {
                    "source": source,
                    "account": account.name,
                    "connection": account.secret,
                    "budget": name,
                    "limits": told,
                    "paused_until": paused,
                }
            )
        )


def discover(source: Source) -> None:
    """Look at a page of every stream: which fields its records have, and how they differ from what the mapping reads. The differences go to
    ops.schema_changes where there is a lake."""
    api, changes = _api(source), []
    for stream, account in _streams(source):
        records = api.sample(stream, account)
        found = differences(source, stream.name, records)
        fields = {harmless(path): kinds for path, kinds in fields_of(records).items()}
        told = [{"path": harmless(one["path"]), "kind": one["kind"], "json_type": one["json_type"]} for one in found]
        shown = {"source": source, "stream": stream.name, "account": account.name, "records": len(records)}
        typer.echo(json.dumps({**shown, "fields": fields, "differences": told}))
        changes += found
    if changes and "://" not in settings.platform().lake:
        words = [sys.executable, "-m", "spark_jobs", "drift"]
        lines = "\n".join(json.dumps(one) for one in changes)
        done = subprocess.run(words, cwd=REPOSITORY, input=lines, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConnectorError(
                f"the differences were found, and not written to ops.schema_changes: {harmless(done.stderr.strip().splitlines()[-1])}"
            )


def new(vendor: Annotated[str, typer.Argument(help="its name: small letters, digits and _")]) -> None:
    """Write the skeleton of a connector, its YAML, its mapping and its test."""
    for path in write_skeleton(vendor):
        typer.echo(str(path.relative_to(REPOSITORY)))


def key_of(stream: Stream, account: Account) -> Key:
    return Key(stream.source.source, account.name, stream.name)


def _api(source: str) -> Api:
    connector = connector_of(settings.checked(source))
    if not isinstance(connector, Api):
        there = [one.source for one in settings.sources() if isinstance(connector_of(one), Api)]
        raise ConnectorError(f"{source}: is not asked over HTTP, so it has no state or budget; those that are: {there}")
    return connector


def _streams(source: str, stream: str = "", account: str = "") -> Iterator[tuple[Stream, Account]]:
    """The streams that are on, with each account. Raises ConnectorError naming those there are."""
    api, declared = _api(source), settings.source(source)
    names = [name for name, said in declared.streams.items() if said.get("enabled") is not False]
    if stream and stream not in names:
        raise ConnectorError(f"{source}: no stream {stream!r}; there are {names}")
    for name in [stream] if stream else names:
        one: Any = api.declared(declared, name)
        accounts = [by for by in one.accounts if account in ("", by.name)]
        if not accounts:
            raise ConnectorError(f"{source}: no account {account!r}; there are {[by.name for by in one.accounts]}")
        yield from ((one, by) for by in accounts)


def _title(stream: Stream, account: Account) -> str:
    return f"{stream.title} ({account.name})"


def _ask(yes: bool, question: str) -> None:
    if not yes and not typer.confirm(question):
        raise typer.Abort
