"""The sandbox world as files below one folder: <out>/<source>/<stream>/…, in the shapes that conf/sources/sandbox_*.yml declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa  # type: ignore[import-untyped]

from connectors.sandbox import pools, site
from connectors.sandbox.site import Texts
from connectors.sandbox.text import amounts, csv_text, hexadecimal, instants, joined, lines, numbers, taken, taken_where
from connectors.sandbox.world import DAY, EMAIL, HOUR, World, mixed, stream

PURPOSES = ("analytics", "marketing", "email")


def write_world(world: World, out: Path, events_only: bool = False, parquet: bool = False) -> dict[str, int]:
    """Write every stream. Returns records written by "source.stream"."""
    texts = Texts(world)
    write_events = site.write_parquet if parquet else site.write_jsonl
    counts = {"sandbox_site.events": write_events(texts, out / "sandbox_site" / "events")}
    if events_only:
        return counts
    writers: Mapping[str, Callable[[Texts, Path], int]] = {
        "sandbox_shop.products": write_products,
        "sandbox_shop.order_lines": write_order_lines,
        "sandbox_shop.refunds": write_refunds,
        "sandbox_marketing.fx_rates": write_fx_rates,
        "sandbox_marketing.campaigns": write_campaigns,
        "sandbox_marketing.contacts": write_contacts,
        "sandbox_marketing.consents": write_consents,
        "sandbox_marketing.ad_spend": write_ad_spend,
        "sandbox_marketing.email_events": write_email_events,
    }
    for name, write in writers.items():
        folder = out.joinpath(*name.split("."))
        folder.mkdir(parents=True, exist_ok=True)
        counts[name] = write(texts, folder)
    return counts


def _by_day(
    world: World, folder: Path, suffix: str, rows: pa.Array, at: npt.NDArray[np.int64], header: str = "",
    extra: Callable[[int], list[bytes]] = lambda _: [],
) -> int:  # fmt: skip
    """Write rows to the file of their instant's day (before the world: its first); a day without rows has none. Returns the rows."""
    day = ((at - world.start) // DAY).clip(0)
    order = np.argsort(day * (1 << 42) + (at - world.start).clip(0), kind="stable")
    ordered, edges = rows.take(pa.array(order)), np.searchsorted(day[order], np.arange(world.days + 1))
    written = 0
    for place in range(world.days):
        first, end = int(edges[place]), int(edges[place + 1])
        more = extra(place)
        if first == end and not more:
            continue
        content = (header + "\n").encode() if header else b""
        content += lines(ordered.slice(first, end - first)) + b"".join(line + b"\n" for line in more)
        (folder / f"{world.first_day + timedelta(days=place)}{suffix}").write_bytes(content)
        written += end - first + len(more)
    return written


def _objects(rows: Iterable[Mapping[str, object]]) -> pa.Array:
    return pa.array([orjson.dumps(row).decode() for row in rows], pa.string())


def write_products(texts: Texts, folder: Path) -> int:
    """The catalogue on the first day, then each product on the day its price changes."""
    world, names = texts.world, site.product_names()
    rows: list[dict[str, object]] = []
    at: list[int] = []
    for version, instant in ((0, np.full(len(names), world.start)), (1, world.start + world.price_change_day * DAY)):
        stamps = instants(instant).to_pylist()
        for place, product_id in enumerate(site.product_ids()):
            if version and world.price_change_day[place] >= world.days:
                continue
            category = pools.CATEGORIES[int(site.category_of(np.asarray(place)))]
            price = f"{world.prices[place, version] / 100:.2f}"
            rows.append(
                {"product_id": product_id, "name": names[place], "category": category, "price": price, "currency": "GBP", "is_active": True}
                | {"updated_at": stamps[place]}
            )
            at.append(int(instant[place]))
    return _by_day(world, folder, ".jsonl", _objects(rows), np.asarray(at))


def write_order_lines(texts: Texts, folder: Path) -> int:
    """One row per line on the day of the order; 0.5 % are delivered again the next day; a few rows are broken."""
    world, orders, people = texts.world, texts.world.orders, texts.world.people
    order, at = orders.line_order, orders.ordered_at[orders.line_order]
    person = orders.person[order]
    quoted = [f'"{name}"' if "," in name else name for name in site.product_names()]
    stamp = instants(at)
    buying = np.flatnonzero(world.visits.has_order)
    is_voucher = np.zeros(len(orders.total), dtype=np.int64)
    is_voucher[world.visits.order[buying]] = world.visits.channel[buying] == pools.CHANNELS.index("affiliates")
    names = (
        "order_id", "line_number", "ordered_at", "updated_at", "user_id", "email", "product_id", "description", "quantity", "unit_price",
        "line_total", "currency", "country", "coupon_code",
    )  # fmt: skip
    header, rows = csv_text(
        names, taken(texts.order_id, order), numbers(orders.line_number), stamp, stamp,
        taken_where(people.has_account[person], texts.user_id, person), taken(texts.order_email, order),
        taken(site.product_ids(), orders.line_product), taken(quoted, orders.line_product), numbers(orders.line_quantity),
        amounts(orders.line_price), amounts(orders.line_price * orders.line_quantity), taken(texts.order_currency, order),
        taken([code for code, _, _ in pools.COUNTRIES], people.country[person]), taken(("", "VOUCHER"), is_voucher[order]),
    )  # fmt: skip
    again = np.flatnonzero((stream(world.seed, "lines again").random(len(order)) < 0.005) & (at + DAY < world.start + world.days * DAY))
    rows, at = pa.concat_arrays([rows, rows.take(pa.array(again))]), np.concatenate([at, at[again] + DAY])

    def broken(place: int) -> list[bytes]:
        stamp = f"{world.first_day + timedelta(days=place)}T12:00:00.000Z"
        if place % 10 == 4:  # a comma that nobody quoted
            return [f"S-ragged-{place},1,{stamp},{stamp},,,P-0004,Ceramic Print, boxed,1,9.95,9.95,GBP,GB,".encode()]
        if place % 10 == 8:
            return [f"S-types-{place},1,{stamp},{stamp},,,P-0001,Ceramic Mug,two,9.95,19.90,GBP,GB,".encode()]
        return []

    return _by_day(world, folder, ".csv", rows, at, header, broken)


def write_refunds(texts: Texts, folder: Path) -> int:
    """6 % of the lines come back, whole or in part, one to ten days later."""
    world, orders = texts.world, texts.world.orders
    random = stream(world.seed, "refunds")
    draw = random.random(len(orders.line_order))
    after = random.integers(1, 11, len(draw)) * DAY + random.integers(0, 8 * HOUR, len(draw))
    at = orders.ordered_at[orders.line_order] + after
    line = np.flatnonzero((draw < 0.06) & (at < world.start + world.days * DAY))
    at, quantity = at[line], orders.line_quantity[line]
    back = np.where(draw[line] < 0.02, np.maximum(quantity // 2, 1), quantity)
    reasons = ("damaged", "changed_mind", "wrong_item", "late")
    order, stamp = orders.line_order[line], instants(at)
    names = ("refund_id", "order_id", "line_number", "product_id", "quantity", "amount", "currency", "refunded_at", "updated_at", "reason")
    header, rows = csv_text(
        names, joined("R", numbers(500_001 + np.arange(len(line)))), taken(texts.order_id, order), numbers(orders.line_number[line]),
        taken(site.product_ids(), orders.line_product[line]), numbers(back), amounts(back * orders.line_price[line]),
        taken(texts.order_currency, order), stamp, stamp, taken(reasons, line % len(reasons)),
    )  # fmt: skip
    return _by_day(world, folder, ".csv", rows, at, header)


def write_fx_rates(texts: Texts, folder: Path) -> int:
    """GBP for one EUR and one USD, every day."""
    world, random = texts.world, stream(texts.world.seed, "rates")
    euro, dollar = (begin + np.cumsum(random.normal(0, step, world.days)) for begin, step in ((0.8640, 0.0015), (0.7580, 0.002)))
    rows, at = [], []
    for place in range(world.days):
        for column, (currency, walk) in enumerate((("EUR", euro), ("USD", dollar))):
            rows.append(f"{world.first_day + timedelta(days=place)},{currency},{walk[place]:.6f}")
            at.append(world.start + place * DAY + column)
    return _by_day(world, folder, ".csv", pa.array(rows), np.asarray(at), "rate_date,currency,rate")


def write_campaigns(texts: Texts, folder: Path) -> int:
    """Every campaign when it begins; halfway, each ad campaign's budget changes."""
    world = texts.world
    rows: list[dict[str, object]] = []
    at: list[int] = []
    bought = {ad.campaign_id: ad for ad in pools.ADS}
    for version, day in ((0, 0), (1, world.days // 2)):
        for number, (campaign_id, ad) in enumerate(sorted(bought.items())):
            instant = world.start + day * DAY + number * 1000
            rows.append(
                {"campaign_id": campaign_id, "name": ad.campaign_name, "channel": pools.NETWORKS[ad.network], "account_id": ad.account_id}
                | {"status": "active", "daily_budget": f"{40 + 5 * number + 10 * version}.00", "currency": "GBP"}
                | {"starts_on": str(world.first_day), "ends_on": None, "updated_at": _stamp(instant)}
            )
            at.append(instant)
    for week, (campaign_id, name) in enumerate(site.newsletters(world)):
        begin = world.start + (week - 1) * 7 * DAY + 5 * HOUR
        if begin < world.start + world.days * DAY:
            sent_on = str(world.first_day + timedelta(days=7 * (week - 1)))
            rows.append(
                {"campaign_id": campaign_id, "name": name, "channel": "Email", "account_id": "mail-500", "status": "sent"}
                | {"daily_budget": None, "currency": None, "starts_on": sent_on, "ends_on": sent_on, "updated_at": _stamp(begin)}
            )
            at.append(begin)
    return _by_day(world, folder, ".jsonl", _objects(rows), np.asarray(at))


def _stamp(instant: int) -> str:
    return str(instants(np.asarray([instant]))[0].as_py())


def _contacts(world: World) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Who is in the CRM: person, created instant, and the newsletter after which they unsubscribe (large = never)."""
    random = stream(world.seed, "contacts")
    person = np.flatnonzero(world.people.is_contact)
    created = world.start - random.integers(0, 300, len(person)) * DAY - random.integers(0, DAY, len(person))
    is_new = random.random(len(person)) < 0.2
    created = np.where(is_new, world.start + random.integers(0, world.days * DAY, len(person)), created)
    # Whoever follows a newsletter to the shop is in the CRM before the world begins.
    follows = np.isin(person, world.visits.person[world.visits.channel == EMAIL])
    created = np.where(follows & is_new, world.start - 10 * DAY, created)
    leaves = np.where(~follows & (random.random(len(person)) < 0.05), random.integers(1, world.days // 7 + 2, len(person)), 1 << 20)
    return person, created, leaves


def _newsletter_at(world: World, week: npt.NDArray[np.int64], person: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    jitter = (mixed(world.seed, 5, person, week) % np.uint64(1_200_000)).astype(np.int64)
    return world.start + (week - 1) * 7 * DAY + 6 * HOUR + jitter


def write_contacts(texts: Texts, folder: Path) -> int:
    """Each contact when created; 8 % change later; 4 % stand there twice, under another id, their e-mail in capitals."""
    world, people = texts.world, texts.world.people
    person, created, _ = _contacts(world)
    random = stream(world.seed, "contact changes")
    changed = np.flatnonzero(random.random(len(person)) < 0.08)
    changed_at = world.start + random.integers(0, world.days * DAY, len(changed))
    keep = changed_at > created[changed]
    changed, changed_at = changed[keep], changed_at[keep]
    twice = np.flatnonzero(random.random(len(person)) < 0.04)
    place = np.concatenate([np.arange(len(person)), changed, twice])
    who = person[place]
    updated = np.concatenate([created, changed_at, created[twice] + HOUR]).clip(None, world.start + world.days * DAY - 1)
    version = np.concatenate([np.zeros(len(person)), np.ones(len(changed)), np.full(len(twice), 2)]).astype(np.int64)
    has_phone = (mixed(world.seed, 6, who) % np.uint64(10) < 6) & (version != 2) | (version == 1)
    phone = numbers(7_400_000_000 + np.arange(len(people)))
    mail = pa.concat_arrays([texts.email, pa.compute.utf8_upper(texts.email)]).take(pa.array(who + len(people) * (version == 2)))
    rows = joined(
        '{"crm_id":"', taken(("c-", "c-", "c-9"), version), numbers(who, 6), '","email":"', mail,
        '","phone":', taken(("null", '"+44'), has_phone.astype(np.int64)), taken_where(has_phone, phone, who),
        taken(("", '"'), has_phone.astype(np.int64)),
        ',"first_name":"', taken(pools.FIRST_NAMES, people.first_name[who]), '","last_name":"',
        taken(pools.LAST_NAMES, people.last_name[who]),
        '","country":"', taken([code for code, _, _ in pools.COUNTRIES], people.country[who]),
        '","created_at":"', instants(created[place]), '","updated_at":"', instants(updated), '"}',
    )  # fmt: skip
    return _by_day(world, folder, ".jsonl", rows, updated)


def write_consents(texts: Texts, folder: Path) -> int:
    """What each contact allows, per purpose, when created; leaving a newsletter withdraws the e-mail purpose."""
    world, people = texts.world, texts.world.people
    person, created, leaves = _contacts(world)
    left = np.flatnonzero(leaves <= world.days // 7 + 1)
    left_at = _newsletter_at(world, leaves[left], person[left]) + 3 * HOUR
    keep = (left_at > created[left]) & (left_at < world.start + world.days * DAY)
    left, left_at = left[keep], left_at[keep]
    count = len(person)
    place = np.concatenate([np.tile(np.arange(count), 3), left])
    purpose = np.concatenate([np.repeat(np.arange(3), count), np.full(len(left), 2)])
    granted = np.concatenate([np.ones(count, bool), people.consents_marketing[person], np.ones(count, bool), np.zeros(len(left), bool)])
    at = np.concatenate([np.tile(created, 3), left_at])
    evidence = np.concatenate([np.zeros(3 * count, np.int64), np.ones(len(left), np.int64)])
    rows = joined(
        '{"email":"', taken(texts.email, person[place]), '","crm_id":"c-', numbers(person[place], 6), '","purpose":"',
        taken(PURPOSES, purpose),
        '","granted":', taken(("false", "true"), granted.astype(np.int64)),
        ',"evidence":"', taken(("sign_up_form", "unsubscribe_link"), evidence), '","updated_at":"', instants(at), '"}',
    )  # fmt: skip
    return _by_day(world, folder, ".jsonl", rows, at)


def write_email_events(texts: Texts, folder: Path) -> int:
    """Every newsletter to every contact: sent, delivered or bounced, opened; clicked where a visit follows; unsubscribed."""
    world = texts.world
    person, created, leaves = _contacts(world)
    weeks = np.arange(1, (world.days - 1) // 7 + 2)
    who, week = np.repeat(np.arange(len(person)), len(weeks)), np.tile(weeks, len(person))
    sent_at = _newsletter_at(world, week, person[who])
    gets = (sent_at > created[who]) & (week <= leaves[who])
    who, week, sent_at = who[gets], week[gets], sent_at[gets]
    random = stream(world.seed, "newsletters")
    bounces = random.random(len(who)) < 0.015
    opens = ~bounces & (random.random(len(who)) < 0.28)
    opened_at = sent_at + random.exponential(5 * HOUR, len(who)).astype(np.int64) + 20_000
    leaving = ~bounces & (week == leaves[who])
    visits = world.visits
    clicks = np.flatnonzero(visits.channel == EMAIL)
    clicked_at, clicker, clicked_week = visits.started[clicks], visits.person[clicks], site.newsletter_week(world, visits.started[clicks])
    parts = (
        (0, person[who], week, sent_at),
        (1, person[who[~bounces]], week[~bounces], sent_at[~bounces] + 2_500),
        (2, person[who[bounces]], week[bounces], sent_at[bounces] + 2_500),
        (3, person[who[opens]], week[opens], opened_at[opens]),
        (3, clicker, clicked_week, clicked_at - 45_000),
        (4, clicker, clicked_week, clicked_at - 1_500),
        (5, person[who[leaving]], week[leaving], sent_at[leaving] + 3 * HOUR),
    )
    kind = np.concatenate([np.full(len(p[1]), p[0]) for p in parts])
    about, number, at = (np.concatenate([p[i] for p in parts]) for i in (1, 2, 3))
    inside = (at >= world.start) & (at < world.start + world.days * DAY)
    kind, about, number, at = kind[inside], about[inside], number[inside], at[inside]
    letters = site.newsletters(world)
    names = ("sent", "delivered", "bounced", "opened", "clicked", "unsubscribed")
    link = [f',"url":"{pools.SITE}/?utm_source=newsletter&utm_medium=email&utm_campaign={name}&utm_id={i}"' for i, name in letters]
    agent = taken(pools.AGENTS, world.people.device[about])
    has_agent = kind >= 3
    rows = joined(
        '{"id":"m-', hexadecimal(mixed(world.seed, 7, kind, about, number, at)), '","event":"', taken(names, kind),
        '","event_at":"', instants(at), '","received_at":"', instants(at + 1_000 + (about * 37 + kind * 11) % 3_000),
        '","email":"', taken(texts.email, about), '","crm_id":"c-', numbers(about, 6),
        '","campaign_id":"', taken([i for i, _ in letters], number), '","campaign_name":"', taken([n for _, n in letters], number), '"',
        taken([*link, ""], np.where(kind == 4, number, len(link))),
        taken(("", ',"user_agent":"'), has_agent.astype(np.int64)), taken_where(has_agent, agent, np.arange(len(at))),
        taken(("", '"'), has_agent.astype(np.int64)), "}",
    )  # fmt: skip

    def broken(place: int) -> list[bytes]:
        return [b'{"id":"m-cut-%d","event":"opened","event_at":' % place] if place % 14 == 6 else []

    return _by_day(world, folder, ".jsonl", rows, at, extra=broken)


def write_ad_spend(texts: Texts, folder: Path) -> int:
    """One report per day and, two days later, the same day restated: invalid clicks out, conversions in, a row gone now and then."""
    world, random = texts.world, stream(texts.world.seed, "spend")
    visits, ads = world.visits, len(pools.ADS)
    ad = np.asarray([one.ad for one in texts.entries])[texts.entry]
    day = (visits.started - world.start) // DAY
    came = ad >= 0
    cell = day[came] * ads + ad[came]
    size = world.days * ads
    clicks = np.bincount(cell, minlength=size).reshape(world.days, ads)
    sold = np.bincount(cell, weights=visits.has_order[came], minlength=size).reshape(world.days, ads)
    values = np.where(visits.has_order, world.orders.total[visits.order], 0) if len(world.orders.total) else np.zeros(len(day))
    earned = np.bincount(cell, weights=values[came], minlength=size).reshape(world.days, ads) / 100
    noise = random.uniform(0.9, 1.1, (3, world.days, ads))
    header = (
        "account_id,account_time_zone,network,campaign_id,campaign_name,ad_group_id,ad_id,spend_date,impressions,clicks,spend,currency,"
        "conversions,conversion_value"
    )
    written = 0
    for place in range(world.days):
        spend_date = world.first_day + timedelta(days=place)
        target = folder / str(spend_date)
        target.mkdir(exist_ok=True)
        for delay, share, counted in ((0, 1.04, 0.7), (2, 1.0, 1.0)):
            if place + delay >= world.days:
                continue
            rows = [header]
            for number, one in enumerate(pools.ADS):
                if delay and (place + number) % 29 == 0:
                    continue
                clicked = int(np.ceil(clicks[place, number] * 1.12 * share))
                shown = int(clicked / one.click_rate * noise[0, place, number]) + 40
                spent = clicked * one.cost_per_click * noise[1, place, number]
                bought = sold[place, number] * 1.3 * counted
                worth = earned[place, number] * 1.3 * counted
                rows.append(
                    f"{one.account_id},Europe/London,{one.network},{one.campaign_id},{one.campaign_name},{one.ad_group_id},{one.ad_id},{spend_date},"
                    f"{shown},{clicked},{spent:.6f},GBP,{bought:.4f},{worth:.2f}"
                )
            name = f"delivered-{spend_date + timedelta(days=delay)}.csv"
            (target / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
            written += len(rows) - 1
    return written
