"""A source that is asked over HTTP: what all vendors share. A vendor's file below connectors/sources says what is its own in a subclass of Api.

What its YAML says: connectors.kernel.streams.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from conf.settings import Source, home, made
from connectors.kernel import days
from connectors.kernel.auth import Auth, Credentials, auth_of, credentials_of
from connectors.kernel.budgets import Budget
from connectors.kernel.connector import Counts, Finding, Plan, Planned, Say, Scope
from connectors.kernel.errors import ConnectorError, CredentialsError, ForeignOriginError, PassingError, StreamDeclarationError
from connectors.kernel.http import Call, Client, Rule, at, form_poster, parsed
from connectors.kernel.landing import Landed, Landing, PageRecord, Slice, landed, newest_of, next_instant
from connectors.kernel.paginate import Page, pages
from connectors.kernel.slices import Window, answered, questions, windows
from connectors.kernel.state import Key, State, leased, peek, state_of
from connectors.kernel.streams import Account, Stream, call_of, declared, texts_of
from connectors.kernel.tokens import GRANTS, OAuth2

# What is compared with the attempt before it without a write
HELD_RECORDS, HELD_BYTES = 10_000, 8 * 2**20
PROGRESS_SECONDS = 30.0
SMALLEST = timedelta(seconds=2)
# what a signed assertion says, and the key of the declaration or the connection that it comes from
CLAIMS = {"aud": "audience", "sub": "subject", "scope": "scope"}


class Unchanged(Exception):  # no error: it ends an attempt that would say again what is landed
    """A slice's records are those that are landed already."""


@dataclass
class Told:
    """What is known of a slice once its records are read."""

    digest: Any = field(default_factory=hashlib.sha256)
    records: int = 0

    @property
    def sha256(self) -> str:
        return str(self.digest.hexdigest())


class Api:
    """A Connector of one vendor; a subclass says what is the vendor's own.

    rules: what its answers mean, before the kernel's. keys: what its streams may say beside KEYS.
    """

    rules: tuple[Rule, ...] = ()
    keys: frozenset[str] = frozenset()

    def base_url(self, source: Source, account: Account, credentials: Credentials) -> str:
        """Where the account is asked: the place that its token names, where settings.auth.instances or the connection name it too."""
        declared, own = source.settings.get("auth", {}), credentials.values.get("host") or str(source.settings["base_url"])
        auth = self.auth(source, account, credentials) if "instances" in declared else None
        place = auth.named("instance_url") if isinstance(auth, OAuth2) else ""
        if not place or any(urlsplit(place)[:2] == urlsplit(credentials.values.get(key, ""))[:2] for key in ("host", "token_url")):
            return place or own
        host = urlsplit(place).hostname
        if not any(f".{host}".endswith(f".{one.lstrip('.')}") for one in declared["instances"]):
            raise ForeignOriginError(
                f"connection {credentials.name}: its token holds for {host}, where the credentials must not go: add it to settings.auth.instances of "
                f"conf/sources/{source.source}.yml, which has {list(declared['instances'])}, or make it the connection's host"
            )
        return place

    def auth(self, source: Source, account: Account, credentials: Credentials) -> Auth:
        """What signs the calls. A connection's `token_url` names another place than the source's, as the sandbox."""
        declared, where = source.settings.get("auth", {}), f"conf/sources/{source.source}.yml: settings.auth"
        if declared.get("kind") != "oauth2":
            return auth_of(declared, credentials, where)
        needed, allowed = {"kind", "grant", "token_url"}, {"audience", "scope", "instances"}
        if needed - set(declared) or set(declared) - needed - allowed or declared["grant"] not in list(GRANTS):
            raise StreamDeclarationError(
                f"{where}: got {dict(declared)}; oauth2 needs the keys ['grant', 'token_url'], may have {sorted(allowed)}, and as grant {list(GRANTS)}"
            )
        url = credentials.values.get("token_url") or declared["token_url"]
        said = {**declared, "audience": declared.get("audience", url), **credentials.values}
        claims = {claim: str(said[key]) for claim, key in CLAIMS.items() if key in said} if declared["grant"] == "jwt_bearer" else {}
        return OAuth2(declared["grant"], credentials, form_poster(url), claims=claims)

    def headers(self, stream: Stream, account: Account) -> Mapping[str, str]:
        """What each call says beside its signature."""
        return {}

    def pause(self, headers: Mapping[str, str]) -> float:
        """The seconds for which nobody asks as the account after an answer with these headers: some vendors say how much of a limit is used."""
        return 0.0

    def calls(self, stream: Stream, account: Account, window: Window) -> Iterator[Call]:
        """The first calls of a window, each with pages of its own."""
        yield call_of(stream, texts_of(stream, account, window))

    def pages(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        """All pages of a window."""
        for call in self.calls(stream, account, window):
            yield from pages(client, call, stream.turn, stream.records, size=str(stream.said.get("page_size", "")))

    def records(self, stream: Stream, account: Account, page: Page) -> Iterable[bytes]:
        """A page's records, as the vendor wrote them."""
        return page.records

    def day_of(self, stream: Stream, record: bytes) -> date:
        """The day of a record, where several are asked for together. Raises ValueError or TypeError where it says none."""
        return date.fromisoformat(str(at(parsed(record), tuple(stream.said["day"])))[:10])

    def settled(self, stream: Stream, account: Account, window: Window) -> None:
        """A window is landed: what was kept so that it could be, as a report's id, may go."""

    def parts(self, client: Client, stream: Stream, account: Account, scope: Scope | None = None) -> Iterable[Account]:
        """The account, or what of it is asked for by itself, each part with a cursor of its own; scope: of a pull, None for all there are."""
        yield account

    def remark(self, stream: Stream, page: Page) -> str:
        """What a person should know of a page's figures, said once a window; nothing where they are whole."""
        return ""

    # what `python -m connectors` and the DAGs ask ------------------------------------------------------------------------

    def declared(self, source: Source, name: str) -> Stream:
        """A stream's declaration. Raises StreamDeclarationError naming file, key and what is allowed."""
        return declared(source, name, self.keys)

    def pull_stream(self, stream: Stream, scope: Scope, landing: Landing, say: Say) -> Counts:
        """Land what each account has; one that fails costs no other."""
        counts = Counts()
        for account in self._accounts(stream, scope):
            try:
                self._pull(stream, account, scope, landing, say, counts)
            except ConnectorError as error:
                counts.refuse(error)
        return counts

    def plan_stream(self, stream: Stream, scope: Scope, landing: Landing, say: Say) -> Plan:
        """What a pull would ask for. Asks for nothing and writes nothing."""
        planned: list[Planned] = []
        for account in self._accounts(stream, scope):
            before = complete(landing, stream, account)
            newest = newest_of(before)
            calls = [int(one.origin["calls"]) for one in newest.values() if "calls" in one.origin]
            usual = -(-sum(calls) // len(calls)) if calls else 1
            base = str(stream.source.settings["base_url"]).rstrip("/")
            state = peek(key_of(stream, account, scope))
            for question in questions(self._windows(stream, account, scope, state.get("cursor")), stream.shape):
                for window in question.slices:
                    last = newest.get((account.name, window.slice_id))
                    attempt = int(last.manifest["attempt"]) + 1 if last else 1
                    known = int(last.origin.get("calls", usual)) if last else usual
                    # of days that are asked for together the first one has the calls
                    known = known if window is question else usual if window is question.days[0] else 0
                    path = call_of(stream, texts_of(stream, account, question)).path
                    planned.append(Planned(window.slice_id, attempt, f"{base}/{path.lstrip('/')}", calls=known))
        number = sum(one.calls or 0 for one in planned)
        minutes = max((number / limit.spent * limit.seconds / 60 for limit in stream.limits), default=0.0)
        say(f"{stream.title}: {len(planned)} slices, about {number} calls, {minutes:.1f} minutes of its budget")
        return Plan(Counts(files=len(planned), landed=len(planned)), tuple(planned))

    def check_stream(self, stream: Stream) -> Finding:
        """The first page of the cheapest call, as each account."""
        found = {account.name: len(self.sample(stream, account, is_cheap=True)) for account in stream.accounts}
        said = "; ".join(f"account {name} answers, with {number} records on a page" for name, number in found.items())
        return Finding(said, is_empty=not any(found.values()))

    def sample(self, stream: Stream, account: Account, is_cheap: bool = False) -> list[bytes]:
        """The records of a first page: of the newest days, or, of a cursor stream that is not asked cheaply, of all there is."""
        now = datetime.now(UTC).replace(microsecond=0)
        today = now.astimezone(ZoneInfo(account.zone)).date()
        is_named = is_cheap or stream.shape.mode != "cursor"
        every = questions(windows(stream.shape_of(account), (today, today), None, now, is_named=is_named), stream.shape)
        client = self.client(stream, account)
        part = next(iter(self.parts(client, stream, account)), None)
        if part is None:
            return []
        account = part
        if is_cheap:
            more = stream.said.get("check", {})
            cheap = replace(stream, said={**stream.said, "params": {**stream.said.get("params", {}), **more}})
            page = next(iter(self.pages(client, cheap, account, every[-1])), None) if every else None
            return list(self.records(stream, account, page)) if page else []
        for window in reversed(every):
            for page in self.pages(client, stream, account, window):
                if records := list(self.records(stream, account, page)):
                    return records
                break
        return []

    # -------------------------------------------------------------------------------------------------------------------

    def client(self, stream: Stream, account: Account) -> Client:
        """Who asks as an account, within the stream's budget. Raises CredentialsError."""
        source = stream.source
        credentials = credentials_of(account.secret)
        budget = budget_of(stream, account, made(home() / "state")) if "budget" in stream.said else None
        headers = self.headers(stream, account)
        url, auth = self.base_url(source, account, credentials), self.auth(source, account, credentials)
        return Client(url, auth, budget, rules=self.rules, headers=headers, pause=self.pause, connection=account.secret)

    def _accounts(self, stream: Stream, scope: Scope) -> list[Account]:
        if scope.account and scope.account not in {one.name for one in stream.accounts}:
            raise ConnectorError(
                f"{stream.title}: no account {scope.account!r}; conf/sources/{stream.source.source}.yml has {[one.name for one in stream.accounts]}"
            )
        return [one for one in stream.accounts if scope.account in ("", one.name)]

    def _windows(self, stream: Stream, account: Account, scope: Scope, cursor: str | None) -> list[Window]:
        at = datetime.fromisoformat(cursor) if cursor else None
        every = windows(stream.shape_of(account), scope.days, at, datetime.now(UTC).replace(microsecond=0), scope.is_named)
        return [replace(one, part=account.part) for one in every]

    def _pull(self, stream: Stream, account: Account, scope: Scope, landing: Landing, say: Say, counts: Counts) -> None:
        """Land what one account has; a part that cannot be had costs no other."""
        with leased(key_of(stream, account, scope)) as state:
            before, client = complete(landing, stream, account), self.client(stream, account)
            try:
                self._pull_parts(client, stream, account, scope, landing, before, say, counts, state)
            finally:
                counts.calls += client.calls
                counts.waited_seconds += client.waited
                say(
                    f"{stream.title} ({account.name}): {client.calls} calls, {client.waited:.1f} s waited for the budget{_left(client.budget)}"
                )

    def _pull_parts(
        self,
        client: Client,
        stream: Stream,
        account: Account,
        scope: Scope,
        landing: Landing,
        before: list[Landed],
        say: Say,
        counts: Counts,
        state: State,
    ) -> None:
        said_at = time.monotonic()
        for number, part in enumerate(self.parts(client, stream, account, scope), start=1):
            own = state if part is account else state_of(key_of(stream, part, scope))
            try:
                self._pull_part(client, stream, part, scope, landing, before, say, counts, own)
            except (PassingError, CredentialsError):
                # the next part would meet it too
                raise
            except ConnectorError as error:
                counts.refuse(error)
            if time.monotonic() - said_at > PROGRESS_SECONDS:
                said_at = time.monotonic()
                say(f"{stream.title} ({account.name}): {number} parts with {counts.records} records so far")

    def _pull_part(
        self,
        client: Client,
        stream: Stream,
        account: Account,
        scope: Scope,
        landing: Landing,
        before: list[Landed],
        say: Say,
        counts: Counts,
        state: State,
    ) -> None:
        """Land the windows of one part, each durable before the next is begun; a pull that was killed goes on after the last of them."""
        every = self._windows(stream, account, scope, state.cursor)
        if stream.shape.mode == "cursor" and not scope.is_named and not account.part:
            say(f"{stream.title} ({account.name}): goes on from {state.cursor or stream.shape.start}, whatever day is asked for")
        pull = f"{scope.first_day}~{scope.last_day}/" if stream.shape.mode == "range" else ""
        # the same questions after a kill too, so that a report that was asked for is found again
        todo = [one for one in questions(every, stream.shape) if any(pull + part.slice_id not in state.done for part in one.slices)]
        already = len(every) - sum(len(one.slices) for one in todo)
        counts.files += already
        counts.skipped += already

        def land(window: Window) -> list[Landed | None]:
            return self._land(client, stream, account, window, scope, before, landing, say)

        for question, done in answered(todo, land, SMALLEST):
            for window, one in zip(question.slices, done, strict=True):
                counts.files += 1
                counts.skipped += one is None
                if one is not None:
                    counts.landed += 1
                    counts.records += one.records
                if scope.limit is None:
                    state.finish(pull + window.slice_id)
            self.settled(stream, account, question)
        if scope.limit is None:
            self._settle(stream, scope, state, every)

    def _settle(self, stream: Stream, scope: Scope, state: State, every: list[Window]) -> None:
        """All windows are landed: the cursor moves; days that somebody named have none."""
        ends = [one.until for one in every if one.until is not None]
        if stream.shape.mode == "snapshot" and any(one.part for one in every):
            # so that it can be known when a part was asked for last
            state.move(datetime.now(UTC).isoformat())
        elif scope.is_named or stream.shape.mode == "snapshot":
            state.forget()
        elif ends:
            state.move(max(ends).isoformat())

    def _land(
        self,
        client: Client,
        stream: Stream,
        account: Account,
        window: Window,
        scope: Scope,
        before: list[Landed],
        landing: Landing,
        say: Say,
    ) -> list[Landed | None]:
        """What a window's slices became; days that were asked for together are read whole before the first of them is landed."""
        calls = client.calls
        found = itertools.islice(self._read(client, stream, account, window, say), scope.limit)

        def land(piece: Window, records: Iterator[days.Found]) -> Landed | None:
            done = self._land_slice(stream, account, piece, scope, before, landing, records, lambda: client.calls - calls)
            before.extend([done] if done else [])
            return done

        if not window.days:
            return [land(window, found)]
        every = {one.day: one for one in window.days if one.day}
        with days.parted(found, lambda record: self.day_of(stream, record), every, stream.title) as records_of:
            return [land(one, records_of(day)) for day, one in every.items()]

    def _land_slice(
        self,
        stream: Stream,
        account: Account,
        window: Window,
        scope: Scope,
        before: list[Landed],
        landing: Landing,
        records: Iterator[days.Found],
        calls: Callable[[], int],
    ) -> Landed | None:
        """One slice as one attempt; None where it says what is landed already, or nothing of what nobody asked before.

        A day or a snapshot replaces what it said before. What changed in a time is asked for again without replacing anything: what changed once
        more since stands in a later time, and its version of then would be lost.
        """
        source, told = stream.source, Told()
        same = [one for one in before if one.origin.get("window", one.manifest["slice_id"]) == window.slice_id]
        last = str(same[-1].origin.get("sha256")) if same else hashlib.sha256().hexdigest()
        found = counted(records, told)
        held, is_all = beginning(found)
        is_known = is_all and (told.sha256 == last or (stream.shape.mode == "cursor" and not held))
        if is_known and scope.limit is None:
            return None
        origin: dict[str, Any] = {"path": call_of(stream, texts_of(stream, account, window)).path, "window": window.slice_id, "request_id": hashlib.sha256(
            f"{landing.run_id}/{stream.title}/{account.name}/{window.slice_id}".encode()).hexdigest()[:16]}  # fmt: skip

        def rest() -> Iterator[PageRecord]:
            yield from held
            yield from found
            if told.sha256 == last and scope.limit is None:
                raise Unchanged
            # the manifest, which is written last, says what was read
            origin.update(sha256=told.sha256, calls=calls())

        piece = Slice(
            source.source,
            stream.name,
            account.name,
            window.slice_id if stream.shape.mode != "cursor" or not same else f"{window.slice_id}+{len(same)}",
            window.day,
            window.day,
            source.api_version,
            origin,
            scope.limit is None,
        )
        try:
            return landing.land_records(piece, rest(), next_instant(before))
        except Unchanged:
            return None

    def _read(self, client: Client, stream: Stream, account: Account, window: Window, say: Say) -> Iterator[days.Found]:
        number, remarked, said_at = 0, "", time.monotonic()
        for page in self.pages(client, stream, account, window):
            for payload in self.records(stream, account, page):
                number += 1
                yield page.number, payload
            if (remark := self.remark(stream, page)) and remark != remarked:
                remarked = remark
                say(f"{stream.title} ({account.name}): {window.slice_id}: {remark}")
            if time.monotonic() - said_at > PROGRESS_SECONDS:
                said_at = time.monotonic()
                say(f"{stream.title} ({account.name}): {window.slice_id}: {number} records of {page.number} pages so far")


def counted(found: Iterable[days.Found], told: Told) -> Iterator[PageRecord]:
    """A slice's records with their numbers from 1; told knows what was read."""
    for page, payload in found:
        told.records += 1
        told.digest.update(payload + b"\n")
        yield PageRecord(told.records, payload, page)


def key_of(stream: Stream, account: Account, scope: Scope) -> Key:
    """Whose state a pull has: days that somebody named have their own."""
    days = scope.days if scope.is_named and stream.shape.mode != "snapshot" else None
    return Key(stream.source.source, account.name, stream.name, days, account.part)


def _left(budget: Budget | None) -> str:
    """How many calls each limit of a budget has left now, as words."""
    used = budget.used() if budget else ()
    return "".join(f", {max(limit.spent - count, 0)} of {limit.spent} calls in {limit.seconds:g} s are left" for limit, count in used)


def budget_of(stream: Stream, account: Account, folder: Path) -> Budget:
    """The budget of a stream: accounts under one connection share it, as vendors count the calls of an app or a token."""
    return Budget(
        f"{stream.source.source}/{account.secret}/{stream.said['budget']}", stream.limits, folder / "budgets.sqlite", at_once=stream.at_once
    )


def complete(landing: Landing, stream: Stream, account: Account) -> list[Landed]:
    """The attempts of a stream's account that were landed whole."""
    every = landed(landing.root, stream.source.source, stream.name)
    return [one for one in every if one.manifest["account"] == account.name and one.manifest.get("slice_complete", True)]


def beginning(records: Iterator[PageRecord]) -> tuple[list[PageRecord], bool]:
    """The first records, as many as may be held, and whether they are all."""
    held: list[PageRecord] = []
    size = 0
    for record in records:
        held.append(record)
        size += len(record.payload)
        if len(held) >= HELD_RECORDS or size >= HELD_BYTES:
            return held, False
    return held, True
