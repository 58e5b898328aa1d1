"""From page to page over real HTTP: every record once, as the vendor wrote it, and never in a circle."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.kernel.auth import StaticAuth
from connectors.kernel.errors import BrokenContractError, ForeignOriginError, StreamDeclarationError, TooMuchDataError
from connectors.kernel.http import Answer, Call, Client
from connectors.kernel.paginate import pages, paginator_of, path_of, records_at
from tests.connectors.kernel.vendor import Asked, Said, Vendor, vendor

IDS = [str(n) for n in range(7)]
WHERE = "conf/sources/shop.yml: streams.orders.paginator"


@pytest.fixture
def there() -> Iterator[Vendor]:
    with vendor() as made:
        yield made


def all_of(there: Vendor, declared: dict, call: Call | None = None, path=("data",), most: int = 100, size: str = "") -> list[str]:
    client = Client(there.url, StaticAuth({}, ()), wait=lambda _: 0.0, tries=1)
    found = pages(client, call or Call("orders"), paginator_of(declared, WHERE), path, most, size)
    return [record.decode() for page in found for record in page.records]


def counting(size: int, first: str, start: int = 0, per: int = 1):
    """Answers of `size` records, beginning at what the query says."""

    def answer(asked: Asked) -> Said:
        begin = (int(asked.params.get(first, start)) - start) * per
        return Said(content={"data": [int(one) for one in IDS[begin : begin + size]]})

    return answer


def test_an_offset_counts_what_came_so_that_a_page_cut_shorter_than_asked_loses_nothing(there):
    there.answer = counting(3, "offset")
    assert all_of(there, {"kind": "offset"}, Call("orders", {"limit": 500})) == IDS
    assert [one.params.get("offset") for one in there.asked] == [None, "3", "6", "7"]
    assert {one.params["limit"] for one in there.asked} == {"500"}


def test_pages_are_numbered_from_where_the_vendor_begins(there):
    there.answer = counting(3, "page", start=1, per=3)
    assert all_of(there, {"kind": "page"}) == IDS
    there.answer = counting(3, "p", start=0, per=3)
    assert all_of(there, {"kind": "page", "name": "p", "first": 0}) == IDS


def test_a_cursor_is_followed_though_a_page_is_short_or_empty(there):
    there.says(
        Said(content={"data": [0], "paging": {"next": {"after": "a b&c"}}}),
        Said(content={"data": [], "paging": {"next": {"after": 12345678901234567890123}}}),
        Said(content={"data": [1, 2], "paging": {}}),
    )
    assert all_of(there, {"kind": "cursor", "path": ["paging", "next", "after"], "name": "after"}) == ["0", "1", "2"]
    assert [one.params.get("after") for one in there.asked] == [None, "a b&c", "12345678901234567890123"]


def test_a_cursor_of_the_last_page_is_not_asked_for_where_the_vendor_says_that_it_is_the_last(there):
    paging = {"cursors": {"after": "MTAx"}}
    there.says(
        Said(content={"data": [0], "paging": {**paging, "next": "https://a.example/?after=MTAx"}}),
        Said(content={"data": [1], "paging": paging}),
    )
    declared = {"kind": "cursor", "path": ["paging", "cursors", "after"], "name": "after", "more": ["paging", "next"]}
    assert all_of(there, declared) == ["0", "1"] and len(there.asked) == 2


def test_pages_that_are_too_large_are_asked_for_in_smaller_ones_from_there_on(there):
    def answer(asked: Asked) -> Said:
        size, begin = int(asked.params["limit"]), int(asked.params.get("offset", 0))
        return Said(413) if size > (2 if begin else 5) else Said(content={"data": [int(one) for one in IDS[begin : begin + size]]})

    there.answer = answer
    assert all_of(there, {"kind": "offset"}, Call("orders", {"limit": 8}), size="limit") == IDS
    assert [one.params["limit"] for one in there.asked] == ["8", "4", "4", "2", "2", "2"]
    there.says(Said(413))
    for size in ("limit", ""):
        with pytest.raises(TooMuchDataError):
            all_of(there, {"kind": "offset"}, Call("orders", {"limit": 8}), size=size)


def test_a_cursor_may_travel_in_the_body(there):
    there.answer = lambda asked: Said(
        content={"data": [0] if b'"after"' not in asked.body else [1], "after": b'"after"' not in asked.body and "x"}
    )
    assert all_of(
        there, {"kind": "cursor", "path": ["after"], "name": "after", "in_body": True}, Call("s", body={"q": 1}, method="POST")
    ) == ["0", "1"]
    assert [one.body for one in there.asked] == [b'{"q": 1}', b'{"q": 1, "after": "x"}']


def test_a_cursor_may_travel_in_a_header_whose_last_word_is_null(there):
    there.says(
        Said(content={"data": [0]}, headers={"Sforce-Locator": "abc"}), Said(content={"data": [1]}, headers={"Sforce-Locator": "null"})
    )
    assert all_of(there, {"kind": "header", "header": "Sforce-Locator", "name": "locator"}) == ["0", "1"]


def test_a_next_url_asks_for_all_that_stands_in_it_and_for_nothing_else(there):
    there.answer = lambda asked: Said(
        content={"data": [1], "links": {"next": None}}
        if "cursor" in asked.params
        else {"data": [0], "links": {"next": f"{there.url}/orders?page%5Bsize%5D=2&cursor=a%2Bb"}}
    )
    assert all_of(there, {"kind": "url", "path": ["links", "next"]}, Call("orders", {"page[size]": 9})) == ["0", "1"]
    assert there.asked[1].params == {"page[size]": "2", "cursor": "a+b"}


def test_a_link_header_is_followed_relative_to_what_was_asked(there):
    there.answer = lambda asked: Said(
        content={"data": [len(there.asked)]}, headers={} if asked.params else {"Link": '<orders?page=2>; rel="next", </x>; rel="last"'}
    )
    assert all_of(there, {"kind": "link"}, Call("v1/orders")) == ["1", "2"]
    assert [one.path for one in there.asked] == ["/v1/orders", "/v1/orders"]


@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b", "a"]])
def test_a_page_that_comes_back_ends_the_stream_with_an_error(there, cursors):
    there.says(*(Said(content={"data": [n], "after": one}) for n, one in enumerate(cursors)))
    with pytest.raises(BrokenContractError, match="leads back to a page that was read"):
        all_of(there, {"kind": "cursor", "path": ["after"], "name": "after"})
    assert len(there.asked) == len(cursors)


@pytest.mark.parametrize("declared", [{"kind": "page"}, {"kind": "offset"}, {"kind": "cursor", "path": ["after"], "name": "after"}])
def test_the_page_before_once_more_ends_the_stream_with_an_error(there, declared):
    there.says(*(Said(content={"data": data, "after": str(n)}) for n, data in enumerate(([1, 2], [1, 2], []))))
    with pytest.raises(BrokenContractError, match="page 2 is the one before once more"):
        all_of(there, declared)


def test_the_last_page_is_known_where_the_vendor_says_its_number(there):
    there.answer = lambda asked: Said(content={"data": [int(asked.params.get("page", 1))], "info": {"pages": 3}})
    assert all_of(there, {"kind": "page", "last": ["info", "pages"]}) == ["1", "2", "3"]
    assert [one.params.get("page") for one in there.asked] == [None, "2", "3"]
    there.says(*(Said(content={"data": data}) for data in ([1], [2], [])))
    assert all_of(there, {"kind": "page", "last": ["info", "pages"]}) == ["1", "2"]


def test_pages_without_end_end(there):
    there.answer = lambda _: Said(content={"data": [len(there.asked)], "after": str(len(there.asked))})
    with pytest.raises(BrokenContractError, match="there are more than 5"):
        all_of(there, {"kind": "cursor", "path": ["after"], "name": "after"}, most=5)
    assert len(there.asked) == 5


def test_a_next_url_of_another_origin_is_not_followed(there):
    with vendor() as other:
        there.says(Said(content={"data": [0], "next": f"{other.url}/orders"}))
        with pytest.raises(ForeignOriginError):
            all_of(there, {"kind": "url", "path": ["next"]})
        assert other.asked == []


def answer(content: bytes) -> Answer:
    return Answer(200, {}, content, "GET https://vendor.example/orders", "")


@pytest.mark.parametrize(
    "records",
    [
        [b'{"n": 123456789012345678901, "x": 12.10, "e": 1E+2}', b"5", b'"a\\u00e9"', b"null", b"[ 1,2 ]"],
        # a surrogate that stands alone, bytes that are no UTF-8, a raw line's end
        [b'{"a": "\\ud83d"}', b'{"a": "caf\xe9", "n": 12.10}', b'{"a": "]}\\"x\n"}', b"[]"],
        [],
    ],
)
@pytest.mark.parametrize("blanks", [b"", b" \r\n\t"])
def test_records_are_the_vendor_s_own_bytes(records, blanks):
    listed = b"[" + blanks + (blanks + b"," + blanks).join(records) + blanks + b"]"
    assert records_at(answer(listed), ()) == tuple(records)
    around = b'{"odd": "\\ud83d", "page":' + blanks + b'{"next": [1], "r\xc3\xa9sults"' + blanks + b":" + blanks + listed + blanks + b"}}"
    assert records_at(answer(around), ("page", "résults")) == tuple(records)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"{}", b'{"data": null}', b'{"data": {}}', b'{"data": [1, ]}', b'{"data": [1', b"[]", b'{"data": [1 2]}']
)
def test_what_is_no_list_is_named_with_its_place(content):
    with pytest.raises(
        BrokenContractError, match=r"GET https://vendor\.example/orders: has no list at data; nothing of this slice was landed"
    ):
        records_at(answer(content), ("data",))


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({}, r"kind is None; allowed are \['offset', 'page', 'cursor', 'header', 'url', 'link'\]"),
        ({"kind": ["url"]}, "kind is "),
        (
            {"kind": "cursor", "name": "after"},
            r"kind cursor has the keys \['name'\]; needed are \['name', 'path'\], allowed \['in_body', 'more'\]",
        ),
        ({"kind": "link", "colour": "red"}, r"kind link has the keys \['colour'\]"),
        ({"kind": "url", "path": "links.next"}, r"path is 'links.next'; give a list of keys"),
        ({"kind": "cursor", "name": "after", "path": ["after"], "more": "next"}, r"more is 'next'; give a list of keys"),
        ({"kind": "page", "first": True}, "first is True; it must be of type int"),
    ],
)
def test_a_pagination_that_is_none_is_named_with_what_is_allowed(declared, said):
    with pytest.raises(StreamDeclarationError, match=rf"conf/sources/shop\.yml: streams\.orders\.paginator: {said}"):
        paginator_of(declared, WHERE)


def test_a_place_is_a_list_of_keys():
    assert path_of(("a", "b"), WHERE) == ("a", "b") and path_of([], WHERE) == ()
