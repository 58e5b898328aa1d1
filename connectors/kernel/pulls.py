"""A pull, its plan and its check over all streams of a source: one that fails costs no other, and is listed when all are done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from conf.personal import masked_text
from conf.printing import shown
from conf.settings import Source
from connectors.kernel.connector import Connector, Counts, Finding, Plan, Say, Scope, connector_of
from connectors.kernel.errors import ConnectorError, FailedStreamsError, MissingFolderError
from connectors.kernel.landing import Landing

T = TypeVar("T")
Failures = dict[str, list[ConnectorError]]


def pull(source: Source, scope: Scope, landing: Landing, say: Say) -> dict[str, Counts]:
    """Land what is new of every stream.

    Args:
        say: takes one sentence for a person to read, made harmless.

    Returns: counts by stream, in the order of the declaration.
    Raises: StreamDeclarationError, before anything begins; FailedStreamsError when all that could be landed is.
    """
    connector, said = connector_of(source), partial(_say, say)
    counts, failures = _each(connector, source, lambda one: connector.pull_stream(one, scope, landing, said))
    failures |= _refused(source, counts)
    if failures:
        said(_summary(source, counts, failures, "landed"))
        raise FailedStreamsError(failures, counts)
    return counts


def plan(source: Source, scope: Scope, landing: Landing, say: Say) -> dict[str, Plan]:
    """What pull() would land, by stream; writes nothing. Raises as pull() would."""
    connector, said = connector_of(source), partial(_say, say)
    plans, failures = _each(connector, source, lambda one: connector.plan_stream(one, scope, landing, said))
    counts = {name: one.counts for name, one in plans.items()}
    failures |= _refused(source, counts)
    for name, one in plans.items():
        for piece in one.slices:
            sizes = ", ".join(f"{size} {key}" for key in ("records", "bytes", "calls") if (size := getattr(piece, key)) is not None)
            said(f"{source.source}.{name}: would land {piece.slice_id}, attempt {piece.attempt}, from {piece.origin}: {sizes}")
    if failures:
        said(_summary(source, counts, failures, "would be landed"))
        raise FailedStreamsError(failures, plans)
    return plans


def check(source: Source) -> dict[str, Finding]:
    """The cheapest real look at every stream. Raises StreamDeclarationError; FailedStreamsError when all are looked at."""
    connector = connector_of(source)
    found, failures = _each(connector, source, connector.check_stream)
    if failures:
        raise FailedStreamsError(failures, found)
    return found


def _each(connector: Connector[Any], source: Source, ask: Callable[[Any], T]) -> tuple[dict[str, T], Failures]:
    """What `ask` answers of every stream, by name; and by "source.stream" what it raised."""
    answers: dict[str, T] = {}
    failures: Failures = {}
    streams: dict[str, Any] = {}
    # a declaration that is wrong is a mistake in the file, which is mended before any of it is used
    for name, said in source.streams.items():
        if said.get("enabled") is False:
            continue
        try:
            streams[name] = connector.declared(source, name)
        except MissingFolderError as error:
            failures[f"{source.source}.{name}"] = [error]
    for name, stream in streams.items():
        try:
            answers[name] = ask(stream)
        except ConnectorError as error:
            failures[f"{source.source}.{name}"] = [error]
    return answers, failures


def _refused(source: Source, counts: Mapping[str, Counts]) -> Failures:
    """What was refused in streams that went on."""
    return {f"{source.source}.{name}": one.failures for name, one in counts.items() if one.failures}


def _summary(source: Source, counts: Mapping[str, Counts], failures: Failures, landed: str) -> str:
    refused, files, records = (sum(getattr(one, key) for one in counts.values()) for key in ("refused", "landed", "records"))
    return (
        f"{source.source}: {len(failures)} of {len(source.streams)} streams failed ({', '.join(sorted(failures))}): "
        f"{refused} files were refused, {files} {landed} with {records} records"
    )


def harmless(text: str) -> str:
    """A text in one line that shows what it is made of and names nobody."""
    return shown(masked_text(text))


def _say(say: Say, text: str) -> None:
    say(harmless(text))
