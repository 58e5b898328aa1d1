"""Answers that are larger than memory: CSV, read as it comes, page after page, and read on where a connection broke off."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterator

from connectors.kernel.errors import BrokenContractError, TemporaryError
from connectors.kernel.formats import csv_records, lines_of
from connectors.kernel.http import Call, Client
from connectors.kernel.paginate import Page

# Records that are held at once, and how often a page is read in all
HELD, TRIES = 1_000, 4


def csv_pages(client: Client, call: Call, header: str, name: str, counted: str, end: str = "null") -> Iterator[Page]:
    """The records of CSV pages, HELD at a time: JSON objects of strings under the names of a page's first row.

    Args:
        header: of an answer, the locator of the page after it; `end`, or nothing, after the last one.
        name: how the next call says that locator.
        counted: the header that says how many records a page has.

    Raises BrokenContractError where a locator comes back, TemporaryError where a page breaks off TRIES times.
    """
    seen: set[str] = set()
    for number in itertools.count(1):
        locator = yield from _page(client, call, number, header, counted)
        if locator in ("", end):
            return
        if locator in seen:
            raise BrokenContractError(
                f"{call.method} {client.base_url}: page {number} leads back to a page that was read; nothing of this slice was landed: try again, "
                "then tell the vendor"
            )
        seen.add(locator)
        call = dataclasses.replace(call, params={**call.params, name: locator})


def _page(client: Client, call: Call, number: int, header: str, counted: str) -> Generator[Page, None, str]:
    """One page; returns what its header says. A page that is read again has the same records in the same order."""
    done = 0
    for left in reversed(range(TRIES)):
        try:
            with client.opened(call) as (answer, blocks):
                told = answer.headers.get(counted, "")
                rows = csv_records(lines_of(blocks), ",", answer.title) if told != "0" else iter(())
                rows = itertools.islice(rows, done, None)
                while held := tuple(row.payload for row in itertools.islice(rows, HELD)):
                    done += len(held)
                    yield Page(number, answer, held)
                if told.isdigit() and done < int(told):
                    raise TemporaryError(f"{answer.title}: page {number} has {done} of {told} records; try again later")
                return answer.headers.get(header, "")
        except TemporaryError:
            if not left:
                raise
    raise AssertionError("the last one returned or raised")
