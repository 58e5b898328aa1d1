"""What a source that is asked over HTTP declares, checked.

conf/sources/<vendor>.yml:
    api_version: what the vendor calls the version that is asked
    settings:
        base_url: where its API is; a connection's `host` names another place, as a proxy or the sandbox
        sunset: the day on which the version ends; `make doctor` warns before
        auth: {kind, …} of connectors.kernel.auth, or {kind: oauth2, grant, token_url} of connectors.kernel.tokens; jwt_bearer also {audience, scope};
            instances: the ends of the hosts that a token may name as the place where it holds
        accounts: by name {secret: a connection, time_zone: whose days the account's are, and what the vendor's paths ask for, as id}
        budgets: by name a list of [calls, seconds]; at_once: by a budget's name how many calls are made at the same time
    streams: by name
        enabled: false leaves it out
        mode: range | cursor | snapshot | webhook (connectors.kernel.slices), start_date, lookback and step as 3d, 12h, 10m
        day: where a record says its day, a list of keys, in a range stream with a step: of so many days one call is about
        path, method, params, body: one call; in their texts stand {since} {until} {day} {last_day} {next_day} {fields} {part} and an account's values
        fields: a list of names
        page_size: the param that says how many records a page has; half as many are asked for where it was too much
        records: where the records stand in an answer, a list of keys; paginator of connectors.kernel.paginate, none where there is one page
        budget: one of settings.budgets
        check: params that make the cheapest call of it
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from conf.settings import TIME_ZONE, Source
from connectors.kernel.budgets import Limit
from connectors.kernel.errors import StreamDeclarationError
from connectors.kernel.http import Call
from connectors.kernel.paginate import Next, Path, paginator_of, path_of
from connectors.kernel.slices import DAY, MODES, Shape, Window

KEYS = frozenset(
    [
        "enabled",
        "mode",
        "start_date",
        "lookback",
        "step",
        "day",
        "path",
        "method",
        "params",
        "body",
        "fields",
        "records",
        "paginator",
        "page_size",
        "budget",
        "check",
        "description",
    ]
)
SETTINGS = frozenset(["base_url", "sunset", "auth", "accounts", "budgets", "at_once", "time_zone", "currency"])
LENGTH = re.compile(r"([0-9]{1,6})([dhms])")
UNITS = {"d": DAY, "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
NOTHING_BEFORE = date(2010, 1, 1)


@dataclass(frozen=True)
class Account:
    """One account of a source. values: all that its declaration says; in a call's texts they stand by their names. part: what of it is asked for by
    itself and has a cursor of its own, as a campaign's id."""

    name: str
    secret: str
    zone: str
    values: Mapping[str, Any]
    part: str = ""


@dataclass(frozen=True)
class Stream:
    """One stream's declaration, checked; said: the whole of it."""

    source: Source
    name: str
    said: Mapping[str, Any]
    shape: Shape
    records: Path
    turn: Next
    accounts: tuple[Account, ...]
    limits: tuple[Limit, ...]
    at_once: int | None = None

    @property
    def title(self) -> str:
        return f"{self.source.source}.{self.name}"

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.said.get("fields", ()))

    def shape_of(self, account: Account) -> Shape:
        """How the stream is cut, by the account's days."""
        return replace(self.shape, zone=account.zone)


def instant(at: datetime | None) -> str:
    """An instant as vendors write it: 2026-11-20T10:11:12Z, without a fraction; nothing for none."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def texts_of(stream: Stream, account: Account, window: Window) -> dict[str, Any]:
    """What the texts of a call may name."""
    day = window.day or (window.since.date() if window.since else None)
    last = window.last_day or day
    return {
        **account.values,
        "account": account.name,
        "part": account.part,
        "api_version": stream.source.api_version,
        "fields": ",".join(stream.fields),
        "since": instant(window.since),
        "until": instant(window.until),
        "since_seconds": int(window.since.timestamp()) if window.since else "",
        "until_seconds": int(window.until.timestamp()) if window.until else "",
        # for who asks for what is later than an instant and would miss what is at it
        "before": instant(window.since - timedelta(seconds=1)) if window.since else "",
        "day": str(day or ""),
        "last_day": str(last or ""),
        "next_day": str(last + DAY) if last else "",
    }


def call_of(stream: Stream, texts: Mapping[str, Any]) -> Call:
    """The call that a stream declares, with its texts filled in. Raises StreamDeclarationError naming what stands in none."""
    said = stream.said

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return value.format_map(texts)
        if isinstance(value, Mapping):
            return {str(key): filled(one) for key, one in value.items()}
        return [filled(one) for one in value] if isinstance(value, list | tuple) else value

    try:
        body = filled(said["body"]) if "body" in said else None
        return Call(filled(said["path"]), filled(said.get("params", {})), body, str(said.get("method", "GET")))
    except (KeyError, ValueError, IndexError) as error:
        raise StreamDeclarationError(
            f"conf/sources/{stream.source.source}.yml: streams.{stream.name}: path, params or body names {error}; allowed are {sorted(texts)}"
        ) from None


def declared(source: Source, name: str, more: frozenset[str] = frozenset()) -> Stream:
    """A stream's declaration, checked. more: keys that the vendor knows beside KEYS. Raises StreamDeclarationError."""
    where, said = f"conf/sources/{source.source}.yml: streams.{name}", source.streams[name]
    accounts = _accounts_of(source)
    if unknown := sorted(set(said) - KEYS - more):
        raise StreamDeclarationError(f"{where}: unknown keys {unknown}; allowed are {sorted(KEYS | more)}")
    if not isinstance(said.get("path"), str):
        raise StreamDeclarationError(f"{where}: path is {said.get('path')!r}; give the path of the call below settings.base_url")
    if said.get("mode") not in MODES:
        raise StreamDeclarationError(f"{where}: mode is {said.get('mode')!r}; allowed are {list(MODES)}")
    for key, kind in (
        ("params", Mapping),
        ("body", Mapping),
        ("check", Mapping),
        ("fields", tuple),
        ("enabled", bool),
        ("method", str),
        ("page_size", str),
    ):
        if key in said and not isinstance(said[key], kind):
            raise StreamDeclarationError(f"{where}: {key} is {said[key]!r}; it must be a {kind.__name__.lower()}")
    start = said.get("start_date", NOTHING_BEFORE)
    if type(start) is not date:
        raise StreamDeclarationError(f"{where}: start_date is {start!r}; give a day, as 2024-01-01")
    if said["mode"] == "range" and ("step" in said) != ("day" in said):
        raise StreamDeclarationError(f"{where}: step and day go together: with a step, give as day where a record says its day, as [date]")
    path_of(said.get("day", ()), f"{where}: day")
    turn = paginator_of(said["paginator"], f"{where}: paginator") if "paginator" in said else one_page
    step = length_of(said["step"], f"{where}: step") if "step" in said else None
    try:
        shape = Shape(said["mode"], start, step, length_of(said.get("lookback", "0d"), f"{where}: lookback"))
    except StreamDeclarationError as error:
        raise StreamDeclarationError(f"{where}: {error}") from None
    records, limits = path_of(said.get("records", ()), f"{where}: records"), _limits(source, said, where)
    stream = Stream(source, name, said, shape, records, turn, accounts, limits, _at_once(source, said))
    for account in accounts:
        call_of(stream, texts_of(stream, account, Window(datetime.now(UTC), datetime.now(UTC), date.min)))
    return stream


def one_page(call: Call, answer: object, count: int) -> None:
    """There is no next call."""


def length_of(value: object, where: str) -> timedelta:
    """A length of time: 3d, 12h, 10m, 5s. Raises StreamDeclarationError."""
    found = LENGTH.fullmatch(str(value))
    if not found:
        raise StreamDeclarationError(f"{where} is {value!r}; give a length of time, as 3d, 12h, 10m or 5s")
    return int(found[1]) * UNITS[found[2]]


def _limits(source: Source, said: Mapping[str, Any], where: str) -> tuple[Limit, ...]:
    if "budget" not in said:
        return ()
    budgets = source.settings.get("budgets", {})
    if said["budget"] not in budgets:
        raise StreamDeclarationError(f"{where}: budget is {said['budget']!r}; settings.budgets has {sorted(budgets)}")
    pairs = budgets[said["budget"]]
    if not isinstance(pairs, tuple) or not all(
        isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(n, int | float) and n > 0 for n in pair) for pair in pairs
    ):
        raise StreamDeclarationError(
            f"conf/sources/{source.source}.yml: settings.budgets.{said['budget']} is {pairs!r}; give pairs of calls and seconds, as [[75, 1], [700, 60]]"
        )
    return tuple(Limit(int(calls), float(seconds)) for calls, seconds in pairs)


def _at_once(source: Source, said: Mapping[str, Any]) -> int | None:
    every = source.settings.get("at_once", {})
    if not isinstance(every, Mapping) or not all(type(one) is int and one > 0 for one in every.values()):
        raise StreamDeclarationError(
            f"conf/sources/{source.source}.yml: settings.at_once is {every!r}; give a number of calls by a budget's name, as {{reports: 10}}"
        )
    return every.get(said.get("budget"))


def _accounts_of(source: Source) -> tuple[Account, ...]:
    where, said = f"conf/sources/{source.source}.yml: settings", source.settings
    if unknown := sorted(set(said) - SETTINGS):
        raise StreamDeclarationError(f"{where}: unknown keys {unknown}; allowed are {sorted(SETTINGS)}")
    if not isinstance(said.get("base_url"), str):
        raise StreamDeclarationError(f"{where}: base_url is {said.get('base_url')!r}; give the URL of the vendor's API")
    accounts = said.get("accounts")
    if not isinstance(accounts, Mapping) or not accounts or not all(isinstance(one, Mapping) for one in accounts.values()):
        raise StreamDeclarationError(f"{where}: accounts is {accounts!r}; give them by name, as {{main: {{secret: {source.source}_main}}}}")
    made_of = []
    for name, values in accounts.items():
        zone = values.get("time_zone", "UTC")
        if not isinstance(values.get("secret"), str) or not TIME_ZONE[0](zone):
            raise StreamDeclarationError(
                f"{where}: accounts.{name} is {dict(values)}; give it a secret, the name of a connection, and as time_zone {TIME_ZONE[1]}"
            )
        made_of.append(Account(str(name), values["secret"], zone, values))
    return tuple(made_of)
