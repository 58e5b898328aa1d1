"""What every source that is asked over HTTP keeps to, against its vendor in the sandbox: a new one is tried by existing.

Each exchange of it is held against the vendor's own document where there is one (tests/contract).
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from conf.settings import home as home_now
from connectors.kernel import pulls
from connectors.kernel.api import complete, key_of
from connectors.kernel.connector import Scope, connector_of
from connectors.kernel.errors import (
    BrokenContractError,
    ConnectorError,
    CredentialsError,
    FailedStreamsError,
    ForeignOriginError,
    PassingError,
    RefusedRequestError,
    StreamDeclarationError,
)
from connectors.kernel.landing import Landing, landed
from connectors.kernel.state import Key, peek
from connectors.kernel.streams import Stream
from tests.connectors.api_contract import (
    KNOWN_BY,
    Payloads,
    Vendor,
    World,
    api_sources,
    at_home,
    found_of,
    noted_pages,
    prepare,
    secrets_of,
    serving_world,
    snapshot,
    streams_of,
    with_small_pages,
)
from tests.contract.documents import BROKEN, WrongExchange, documents_of

SOURCES = api_sources()
STREAMS = [(name, stream) for name in SOURCES for stream in streams_of(name)]
FOREIGN = "https://elsewhere.example"
CANARY = "canary-7f3a9c51e2d84b60"
# pages that are tried for one that comes twice
MOST_REPEATS = 3

of_each_source = pytest.mark.parametrize("name", SOURCES)
of_each_stream = pytest.mark.parametrize("name, stream", STREAMS, ids=[".".join(one) for one in STREAMS])


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Iterator[World]:
    with serving_world(tmp_path_factory.mktemp("vendors")) as made:
        yield made


@pytest.fixture
def vendor(name, world, home, monkeypatch) -> Iterator[Vendor]:
    made = prepare(monkeypatch, world, name, home)
    yield made
    if documents := documents_of(name):
        documents.hold(made.line.exchanges, made.place, made.source)


@pytest.fixture(scope="session")
def landed_once(tmp_path_factory):
    """Of a vendor's stream: where all that it has was landed by a pull that nothing disturbed."""

    @cache
    def once(name: str, stream: str) -> Path:
        return tmp_path_factory.mktemp(f"{name}-{stream}")

    def found(vendor: Vendor, stream: str) -> Path:
        home = once(vendor.source.source, stream)
        if not (home / "done").exists():
            first = vendor.world.first if vendor.mode(stream) == "range" else vendor.start()
            vendor.pull(vendor.declared(stream), (first, vendor.world.last), home)
            (home / "done").touch()
        return home

    return found


@pytest.fixture
def expected(landed_once):
    """Of a vendor's stream: each record of its few days in its slice."""

    def found(vendor: Vendor, stream: str) -> Payloads:
        every = vendor.payloads(stream, landed_once(vendor, stream))
        first, last = (str(day) for day in vendor.few_days(stream))
        return Counter({one: n for one, n in every.items() if vendor.mode(stream) != "range" or first <= one[0] <= last})

    return found


@of_each_source
def test_all_that_the_vendor_shows_is_landed(vendor, landed_once):
    lines = [line for stream in streams_of(vendor.source.source) for line in vendor.lines(stream, landed_once(vendor, stream))]
    whole, left = [], getattr(vendor.module, "NOT_PULLED", {})
    for kind in vendor.kinds():
        for key in KNOWN_BY[kind] if kind not in left else ():
            got, there = found_of(vendor.rows(kind), key, lines)
            assert got in (0, there), f"{kind}: {got} of {there} values of {key} were landed"
            whole += [kind] if got else []
    assert whole, f"nothing of {vendor.kinds()} was landed"


@of_each_source
def test_no_vendor_says_that_there_were_too_many_calls(vendor):
    days = (vendor.world.last - (vendor.world.last - vendor.world.first) / 3, vendor.world.last)
    vendor.pull(vendor.declared(), days)
    assert vendor.asked() and not [
        one.response.url for one in vendor.asked() if b"frequent" in one.response.content or one.response.status_code == 429
    ]


@of_each_stream
def test_small_pages_lead_to_the_last_record(vendor, stream, landed_once):
    home = landed_once(vendor, stream)
    most = max(Counter(slice_id for slice_id, _ in vendor.payloads(stream, home)).values(), default=0)
    source = with_small_pages(vendor.declared(stream), stream, max(1, -(-most // 4)))
    if source is None:
        pytest.skip("nothing that it declares says how many records a page has")
    days = vendor.few_days(stream)
    vendor.pull(source, days)
    some = {one for one in vendor.payloads(stream)}
    first, last = (str(day) for day in days)
    assert some == {one for one in vendor.payloads(stream, home) if vendor.mode(stream) != "range" or first <= one[0] <= last}
    assert most < 2 or any((line["_page"] or 0) > 1 for line in vendor.lines(stream))


@of_each_stream
def test_a_page_that_comes_again_is_an_error_and_never_a_record_twice(vendor, stream, expected):
    due = expected(vendor, stream)
    source = with_small_pages(vendor.declared(stream), stream, 1 if vendor.mode(stream) == "range" else max(1, len(due) // 4))
    if source is None or len(due) < 2:
        pytest.skip("it has one page")
    vendor.warm(source)
    with noted_pages(vendor) as noted:
        vendor.pull(source, vendor.few_days(stream), vendor.home / "whole")
    assert vendor.payloads(stream, vendor.home / "whole") == due
    errors, again = 0, [calls for page, calls in noted if page > 1][:MOST_REPEATS]
    for number in again:
        home, seen = vendor.home / f"{number}", len(vendor.asked())

        def then(one, seen=seen, number=number):
            if len(vendor.asked()) == seen + number - 1 and not one.is_token:
                vendor.fault("repeat")

        vendor.line.after = then
        vendor.sandbox.faults.clear()
        try:
            vendor.pull(source, vendor.few_days(stream), home)
        except FailedStreamsError as error:
            errors += any(isinstance(one, BrokenContractError) for some in error.failures.values() for one in some)
            assert not set(vendor.payloads(stream, home)) - set(due)
        else:
            assert vendor.payloads(stream, home) == due
        assert len(vendor.asked()) < seen + 500
    assert errors or not again


@of_each_stream
def test_a_pull_goes_on_through_all_that_passes(vendor, stream, expected):
    due, source = expected(vendor, stream), vendor.declared(stream)
    vendor.warm(source)
    faults = [vendor.fault(kind) for kind in ("429", "429_bare", "500", "cut")]
    vendor.pull(source, vendor.few_days(stream))
    assert vendor.payloads(stream) == due and [one.times for one in faults] == [0] * 4


@of_each_source
@pytest.mark.parametrize("kind", ["429", "429_bare"])
def test_too_many_calls_are_followed_by_as_long_a_wait_as_is_asked_for(vendor, kind):
    stream = streams_of(vendor.source.source)[0]
    source = vendor.declared(stream)
    vendor.warm(source)
    fault = vendor.fault(kind)
    vendor.pull(source, vendor.few_days(stream))
    said = vendor.module.too_many(1.0).headers.get("Retry-After", "0") if kind == "429" else "0"
    assert fault.times == 0 and sum(vendor.clock.waited) >= max(0.5, float(said) - 0.5)


@of_each_stream
def test_a_kill_at_any_step_loses_nothing_and_lands_nothing_twice(vendor, stream, monkeypatch):
    of_mode = [one for one in streams_of(vendor.source.source) if vendor.mode(one) == vendor.mode(stream)]
    if stream != of_mode[0]:
        pytest.skip(f"{of_mode[0]} is tried, which has the same mode")
    # in a process of its own no time passes for the vendor
    monkeypatch.setattr(vendor.module, "LIMITS", {})
    source, days, step = vendor.short(stream), vendor.few_days(stream), 0
    vendor.pull(source, days, vendor.home / "whole", is_named=False)
    due = vendor.payloads(stream, vendor.home / "whole")
    records = {sha256 for _, sha256 in due}
    while vendor.killed(source, days, vendor.home / f"{step}", step):
        home = vendor.home / f"{step}"
        vendor.pull(source, days, home, is_named=False)
        if vendor.mode(stream) == "cursor":
            # the slice ends when the pull began, and a record that comes in two of them is one in silver
            assert records == {sha256 for _, sha256 in vendor.payloads(stream, home)}, f"killed at step {step}"
        else:
            assert vendor.payloads(stream, home) == due, f"killed at step {step}"
            attempts = Counter(one.slice for one in landed(home / "landing", source.source, stream))
            assert set(attempts.values()) <= {1}, f"killed at step {step}"
        step += 1
    # after each part, manifest and word of how far it is
    assert step >= (3 if due else 0)


@of_each_source
def test_a_second_pull_lands_nothing(vendor):
    source = vendor.declared()
    days = (vendor.world.last - 2 * (vendor.world.last - vendor.world.first) / 28, vendor.world.last)
    vendor.pull(source, days)
    before = snapshot(vendor.landing)
    counts = vendor.pull(source, days)
    assert before and {(one.landed, one.records) for one in counts.values()} == {(0, 0)} and snapshot(vendor.landing) == before


@of_each_source
def test_days_that_somebody_names_never_move_a_cursor(vendor):
    source = vendor.declared()
    day = (vendor.world.last, vendor.world.last)
    vendor.pull(source, day, is_named=False)
    with at_home(vendor.home):
        keys = [Key(source.source, account, stream) for stream in source.streams for account in source.settings["accounts"]]
        before = [peek(key) for key in keys]
        vendor.pull(source, (vendor.world.last - 3 * (vendor.world.last - vendor.world.first) / 28, vendor.world.last))
        assert ([peek(key) for key in keys] == before and any(before)) or set(map(vendor.mode, source.streams)) == {"snapshot"}


@of_each_source
def test_a_dry_run_writes_nothing_and_asks_nothing(vendor):
    vendor.home.mkdir(exist_ok=True)
    for _ in range(2):
        before = snapshot(vendor.home)
        vendor.line.exchanges.clear()
        plans = pulls.plan(
            vendor.declared(), Scope(vendor.world.last, vendor.world.last, False), Landing(vendor.landing, "run-1"), vendor.said.append
        )
        assert list(plans) == streams_of(vendor.source.source) and snapshot(vendor.home) == before and not vendor.line.exchanges
        vendor.pull(vendor.declared(), (vendor.world.last, vendor.world.last), is_named=False)


@of_each_source
def test_a_try_with_a_limit_is_not_loaded_and_changes_no_state(vendor, landed_once):
    source = vendor.declared()
    days = (vendor.world.last - 3 * (vendor.world.last - vendor.world.first) / 28, vendor.world.last)
    vendor.pull(source, days, is_named=False, limit=1)
    with at_home(vendor.home):
        for name in source.streams:
            stream = connector_of(source).declared(source, name)
            every = landed(vendor.landing, source.source, name)
            assert not [one for one in every if one.manifest["slice_complete"] or one.records > 1]
            for account in stream.accounts:
                assert not complete(Landing(vendor.landing, "run-1"), stream, account)
                assert not peek(key_of(stream, account, Scope(*days, False)))


@of_each_source
def test_a_token_that_ended_is_a_matter_of_its_connection(vendor):
    source = vendor.declared()
    vendor.warm(source)
    vendor.fault("expired", 1_000)
    with pytest.raises(FailedStreamsError) as failed:
        vendor.pull(source, (vendor.world.last, vendor.world.last))
    secrets = {one["secret"] for one in source.settings["accounts"].values()}
    assert failed.value.exit_code == 2 and len(failed.value.failures) == len(source.streams)
    for error in (one for some in failed.value.failures.values() for one in some):
        assert isinstance(error, CredentialsError) and any(secret in str(error) for secret in secrets), str(error)


@of_each_source
def test_a_version_that_ended_is_fatal_and_asked_for_once(vendor):
    if "sunset" not in vendor.module.FAULTS:
        assert "sunset" not in vendor.source.settings
        pytest.skip("its API has no version that ends")
    source = vendor.declared(streams_of(vendor.source.source)[0])
    vendor.warm(source)
    vendor.fault("sunset", 1_000)
    with pytest.raises(FailedStreamsError) as failed:
        vendor.pull(source, (vendor.world.last, vendor.world.last))
    assert failed.value.exit_code == 2 and len(vendor.asked()) <= 2
    assert all(isinstance(one, RefusedRequestError) for some in failed.value.failures.values() for one in some)


@of_each_stream
def test_credentials_go_nowhere_else_whatever_an_answer_says(vendor, stream, expected):
    due = expected(vendor, stream)
    small = with_small_pages(vendor.declared(stream), stream, 1 if vendor.mode(stream) == "range" else max(1, len(due) // 4))
    source, is_followed = (
        small or vendor.declared(stream),
        small and small.streams[stream].get("paginator", {}).get("kind") in ("url", "link"),
    )
    vendor.warm(source)
    vendor.line.changed = lambda content: content.replace(vendor.sandbox.url.encode(), FOREIGN.encode())
    try:
        vendor.pull(source, vendor.few_days(stream))
    except FailedStreamsError as error:
        assert error.exit_code == 2 and all(isinstance(one, ForeignOriginError) for some in error.failures.values() for one in some)
    else:
        assert not (is_followed and len(due) > 1) and sum(vendor.payloads(stream).values()) == sum(due.values())
    assert {urlsplit(str(one.request.url)).netloc for one in vendor.line.exchanges} == {urlsplit(vendor.sandbox.url).netloc}


@of_each_source
def test_no_secret_is_said_or_kept(vendor, monkeypatch):
    for key, text in vendor.sandbox.connections().items():
        said = json.loads(text)
        extra = said.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        monkeypatch.setenv(key, json.dumps({**said, "extra": {**extra, "note": CANARY}}))
    secrets = {CANARY, *secrets_of(vendor.module)}
    # a server in trouble may say what it was told
    echoed = " ".join(sorted(secrets)).encode()
    vendor.line.changed = lambda content: content + b" " + echoed if content == BROKEN else content
    source, day = vendor.declared(), (vendor.world.last, vendor.world.last)
    said = [str(pulls.check(source))]
    vendor.pull(source, day, is_named=False)
    for kind in ("500", "expired", "sunset"):
        if kind == "500" or kind in vendor.module.FAULTS:
            vendor.fault(kind, 1_000)
            with pytest.raises(FailedStreamsError) as failed:
                vendor.pull(source, day)
            said += [str(failed.value), *(repr(one) for some in failed.value.failures.values() for one in some)]
            vendor.sandbox.faults.clear()
    written = {path: path.read_bytes() for path in home_now().rglob("*") if path.is_file()}
    # tokens that a vendor handed out are kept there, for their owner alone
    kept = {path: content for path, content in written.items() if path.name.startswith("tokens.sqlite")}
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)
    texts = "\n".join([*said, *vendor.said]).encode()
    whole = b"\n".join(
        [texts, *(gzip.decompress(one) if path.suffix == ".gz" else one for path, one in written.items() if path not in kept)]
    )
    assert len(secrets) > 1 and len(written) > 1 and b"[secret]" in whole
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")):
            assert form.encode() not in whole, "a secret was said or kept"


@of_each_source
def test_a_stream_that_fails_stops_no_other(vendor, monkeypatch):
    broken, *others = streams_of(vendor.source.source)
    api = type(connector_of(vendor.source))
    real = api.pages

    def pages(self, client, stream: Stream, *more):
        if stream.name == broken:
            raise RefusedRequestError("this stream is refused")
        return real(self, client, stream, *more)

    monkeypatch.setattr(api, "pages", pages)
    with pytest.raises(FailedStreamsError) as failed:
        vendor.pull(vendor.declared(), (vendor.world.last, vendor.world.last))
    assert set(failed.value.failures) == {f"{vendor.source.source}.{broken}"} and set(failed.value.done) == {broken, *others}
    assert not any(failed.value.done[one].failures for one in others)


@of_each_source
def test_an_account_that_fails_stops_no_other(vendor):
    source = vendor.declared(streams_of(vendor.source.source)[0])
    accounts = source.settings["accounts"]
    more = {"first": {**next(iter(accounts.values())), "secret": "nobody_made_it"}, **accounts}
    many = dataclasses.replace(source, settings={**source.settings, "accounts": more})
    (stream,) = source.streams
    days = vendor.few_days(stream)
    with pytest.raises(FailedStreamsError) as failed:
        vendor.pull(many, days)
    alone = vendor.pull(source, days, vendor.home / "alone")[stream]
    done = failed.value.done[stream]
    assert (done.landed, done.records, len(done.failures)) == (alone.landed, alone.records, 1) and "nobody_made_it" in str(failed.value)


@of_each_source
def test_a_check_asks_little_and_writes_no_record(vendor):
    found = pulls.check(vendor.declared())
    assert list(found) == streams_of(vendor.source.source) and not vendor.landing.exists()
    accounts = len(vendor.source.settings["accounts"])
    assert len(vendor.asked()) <= 4 * len(found) * accounts


@of_each_stream
def test_a_key_that_nobody_knows_is_refused(name, stream, world, home, monkeypatch):
    source = prepare(monkeypatch, world, name, home).declared(stream, colour="red")
    with pytest.raises(StreamDeclarationError, match=f"conf/sources/{name}.yml: streams.{stream}: .*'colour'.* allowed"):
        connector_of(source).declared(source, stream)


@of_each_stream
def test_what_the_vendor_s_document_does_not_allow_does_not_pass(vendor, stream, name):
    documents = documents_of(name)
    if not documents:
        pytest.skip("the vendor has no document beside this clone (../shared/vendor_specs)")
    vendor.pull(
        vendor.declared(stream), (vendor.start(), vendor.world.last) if vendor.mode(stream) == "cursor" else vendor.few_days(stream)
    )
    longest = max(vendor.asked(), key=lambda one: len(one.response.content))
    if not documents.hold([longest], vendor.place, vendor.source):
        pytest.skip("the vendor has no document of this call")
    with pytest.raises(WrongExchange):
        documents.one(*documents.mutant(stream, longest), vendor.place, vendor.source)
    unknown = longest.request.copy()
    unknown.prepare_url(unknown.url, {"nobody_declared_it": "1"})
    with pytest.raises(WrongExchange, match="nobody_declared_it"):
        documents.one(unknown, longest.response, vendor.place, vendor.source)


def test_passing_hindrances_and_errors_of_people_are_told_apart():
    assert issubclass(PassingError, ConnectorError) and PassingError.exit_code == 4 and CredentialsError.exit_code == 2
