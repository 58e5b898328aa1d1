"""CSV answers over real HTTP, read as they come: every record once, whatever breaks off, and never in a circle."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from connectors.kernel.auth import StaticAuth
from connectors.kernel.errors import BrokenContractError, TemporaryError
from connectors.kernel.formats import lines_of
from connectors.kernel.http import Answer, Call, Client
from connectors.kernel.streamed import csv_pages
from tests.connectors.kernel.vendor import Said, Vendor, vendor

NAMES = ("X-Next", "locator", "X-Count")


@pytest.fixture
def there() -> Iterator[Vendor]:
    with vendor() as made:
        yield made


def ids(there: Vendor) -> list[str]:
    client = Client(there.url, StaticAuth({}, ()), wait=lambda _: 0.0, tries=2)
    return [json.loads(one)["id"] for page in csv_pages(client, Call("results", {"size": 3}), *NAMES) for one in page.records]


def text(*numbers: int) -> bytes:
    return b"id,note\n" + b"".join(b'"%d","a\nb"\n' % n for n in numbers)


def page(place: int, *numbers: int, last: bool = False, **more: object) -> Said:
    return Said(content=text(*numbers), headers={"X-Next": "null" if last else str(place), "X-Count": str(len(numbers))}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_lines_are_the_same_whatever_the_blocks(size):
    whole = b"a\r\n\n" + b"x" * 50 + b"\rz\nlast"
    assert list(lines_of(whole[n : n + size] for n in range(0, len(whole), size))) == [b"a\r\n", b"\n", b"x" * 50 + b"\rz\n", b"last"]
    assert list(lines_of([b"", b"a\n", b""])) == [b"a\n"]


def test_pages_follow_one_another_by_a_header(there):
    there.says(page(1, 1, 2, 3), page(2, 4, 5, 6), page(3), page(4, 7, last=True))
    assert ids(there) == list("1234567")
    assert [one.params for one in there.asked] == [{"size": "3"}, *({"size": "3", "locator": str(n)} for n in (1, 2, 3))]


def test_what_breaks_off_is_read_on_and_not_twice(there):
    many = range(5_000)
    size = len(text(*many))
    there.says(page(1, *many, cut=size - 40_000), page(1, *many, cut=10), page(1, *many), page(2, 7_000, last=True))
    assert ids(there) == [*map(str, many), "7000"]
    there.says(page(1, *many, cut=10))
    with pytest.raises(TemporaryError, match="no whole answer"):
        ids(there)


def test_fewer_records_than_it_counts_are_no_whole_page(there):
    short = Said(content=text(1, 2), headers={"X-Next": "null", "X-Count": "3"})
    there.says(short, page(1, 1, 2, 3, last=True))
    assert ids(there) == ["1", "2", "3"]
    there.says(short)
    with pytest.raises(TemporaryError, match="page 1 has 2 of 3 records"):
        ids(there)


def test_a_page_that_leads_back_ends_it(there):
    there.says(page(1, 1), page(2, 2), page(1, 3))
    with pytest.raises(BrokenContractError, match="page 3 leads back to a page that was read"):
        ids(there)


def test_without_records_there_is_nothing(there):
    for said in (page(0, last=True), Said(content=b"", headers={"X-Next": "null", "X-Count": "0"})):
        there.says(said)
        assert ids(there) == []


def test_no_more_is_read_than_is_asked_for():
    read = itertools.count()

    class Endless(Client):
        @contextmanager
        def opened(self, call: Call) -> Iterator[tuple[Answer, Iterator[bytes]]]:
            block = b'"1","' + b"x" * 1_000 + b'"\n'
            yield Answer(200, {}, b"", "GET results", ""), (block if next(read) else b"id,note\n" for _ in itertools.count())

    found = csv_pages(Endless("http://localhost", StaticAuth({}, ())), Call("results"), *NAMES)
    assert [len(next(found).records) for _ in range(3)] == [1_000] * 3 and next(read) < 3_100
