"""Salesforce: SOQL by REST, page by page, and by jobs of Bulk API 2.0 where the answer is large or the question longer than a URL may be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from conf.settings import Source
from connectors.kernel.api import Api
from connectors.kernel.connector import Scope
from connectors.kernel.errors import (
    NothingThereError,
    RateLimitedError,
    RefusedRequestError,
    StreamDeclarationError,
    TemporaryError,
    TooMuchDataError,
)
from connectors.kernel.http import Answer, Call, Client, Rule
from connectors.kernel.jobs import FailedJobError, Jobs, jobs_of
from connectors.kernel.paginate import Page, pages
from connectors.kernel.slices import Window, parted
from connectors.kernel.streamed import csv_pages
from connectors.kernel.streams import Account, Stream, call_of, texts_of

# its errors are lists
CODE: tuple[str | int, ...] = (0, "errorCode")
USED = re.compile(r"api-usage=([0-9]+)/([0-9]+)")
BULK = {"above": int, "max_records": int, "most_seconds": int}
# of a page of results, the next one's locator and how many records it has
RESULTS = ("Sforce-Locator", "locator", "Sforce-NumberOfRecords")


class Salesforce(Api):
    """A stream's `bulk`: {above: letters of the question beyond which a job is asked, 0 for always; max_records: of a page; most_seconds: of a
    job}. An account's most_usage: percent of the organisation's calls of a day beyond which nothing more is asked."""

    rules = (
        Rule("config", path=CODE, values=frozenset({"INVALID_SESSION_ID"})),
        Rule("rate", path=CODE, values=frozenset({"REQUEST_LIMIT_EXCEEDED"})),
        Rule("split", path=CODE, values=frozenset({"QUERY_TIMEOUT"})),
        Rule("fatal", path=CODE, values=frozenset({"FEATURENOTENABLED"})),
        Rule("skip", path=CODE, values=frozenset({"INVALID_QUERY_LOCATOR"})),
    )
    keys = frozenset({"bulk"})

    def declared(self, source: Source, name: str) -> Stream:
        stream = super().declared(source, name)
        bulk, where = stream.said.get("bulk", dict.fromkeys(BULK, 1)), f"conf/sources/{source.source}.yml: streams.{name}"
        if not isinstance(bulk, Mapping) or set(bulk) != set(BULK) or not all(type(bulk[k]) is int and bulk[k] >= 0 for k in BULK):
            raise StreamDeclarationError(f"{where}: bulk is {bulk!r}; give it {list(BULK)}, each a whole number")
        if "q" not in stream.said.get("params", {}):
            raise StreamDeclarationError(f"{where}: params has no q; give it the question in SOQL")
        return stream

    def pages(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        call = call_of(stream, texts_of(stream, account, window))
        bulk = stream.said.get("bulk")
        try:
            if bulk and len(call.params["q"]) > bulk["above"] and (job := self._job(client, stream, account, window, call)):
                yield from csv_pages(client, Call(f"{job}/results", {"maxRecords": bulk["max_records"]}), *RESULTS)
                return
        except RefusedRequestError as error:
            self.settled(stream, account, window)
            raise TemporaryError(f"{error}: its results are gone; the slice is asked for anew when it is tried again") from None

        def following(call: Call, answer: Answer, count: int) -> Call | None:
            found = stream.turn(call, answer, count)
            if found:
                refuse_last_calls(answer, account)
            return found

        try:
            yield from pages(client, call, following, stream.records)
        except NothingThereError as error:
            raise TemporaryError(f"{error}: its next pages are gone; the slice is read anew when it is tried again") from None

    def sample(self, stream: Stream, account: Account, is_cheap: bool = False) -> list[bytes]:
        """By REST, but for a question that no URL holds: a look is worth no job."""
        bulk = stream.said.get("bulk", {})
        said = stream.said if bulk.get("above") else {key: value for key, value in stream.said.items() if key != "bulk"}
        return super().sample(replace(stream, said=said), account, is_cheap)

    def settled(self, stream: Stream, account: Account, window: Window) -> None:
        waiting(stream, account).forget(window.slice_id)

    def _job(self, client: Client, stream: Stream, account: Account, window: Window, call: Call) -> str | None:
        """The path of a window's job whose results are ready; None where no such job is taken on, as for some objects and fields."""
        base, _, operation = call.path.rpartition("/")
        path, jobs = f"{base}/jobs/query", waiting(stream, account)
        body = {"operation": operation, "query": call.params["q"], "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF"}

        def is_ready(job: str) -> bool:
            try:
                answer = client.ask(Call(f"{path}/{job}"))
            except RefusedRequestError as error:
                # it keeps a job for days, not for ever
                raise FailedJobError(f"{error}: the job is gone") from None
            said = answer.json()
            if said["state"] not in ("Failed", "Aborted"):
                refuse_last_calls(answer, account)
                return bool(said["state"] == "JobComplete")
            text = f"{answer.title}: the job is {said['state']} ({said.get('errorMessage')})"
            if "QUERY_TIMEOUT" in text:
                jobs.forget(window.slice_id)
                raise TooMuchDataError(f"{text}; ask for less at once")
            raise FailedJobError(f"{text}; try again later")

        def submit() -> str:
            return str(client.ask(Call(path, body=body, method="POST")).json()["id"])

        try:
            return f"{path}/{jobs.done(window.slice_id, submit, is_ready, lambda _: None)}"
        except RefusedRequestError:
            # if it is the question that is wrong, REST says so too
            jobs.forget(window.slice_id)
            return None

    def _windows(self, stream: Stream, account: Account, scope: Scope, cursor: str | None) -> list[Window]:
        """A job that was asked for is waited on, though its window ended earlier than now."""
        return parted(super()._windows(stream, account, scope, cursor), waiting(stream, account).known())


def waiting(stream: Stream, account: Account) -> Jobs:
    """The jobs of a stream's account."""
    most = stream.said.get("bulk", {}).get("most_seconds", 0)
    return jobs_of(stream.source.source, account.name, stream.name, float(most))


def refuse_last_calls(answer: Answer, account: Account) -> None:
    """Raises RateLimitedError where the organisation's calls are left to others."""
    most, found = int(account.values.get("most_usage", 100)), USED.search(answer.headers.get("Sforce-Limit-Info", ""))
    if found and int(found[1]) * 100 > int(found[2]) * most:
        raise RateLimitedError(
            f"{answer.title}: {found[1]} of the organisation's {found[2]} calls of a day are used, more than the {most} percent of the account's "
            "most_usage; try again later"
        )


CONNECTOR = Salesforce()
