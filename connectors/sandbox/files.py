"""The sandbox world as files below one folder: <out>/<source>/<stream>/…, in the shapes that conf/sources/sandbox_*.yml declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from connectors.sandbox import crm, marketing, pools, site, weblog
from connectors.sandbox.chance import DAY, Ints, stream
from connectors.sandbox.drops import by_day, objects
from connectors.sandbox.orders import exchange_rates
from connectors.sandbox.site import Texts
from connectors.sandbox.text import amounts, csv_text, instants, joined, numbers, taken, taken_where
from connectors.sandbox.world import World


def write_world(world: World, out: Path, events_only: bool = False, parquet: bool = False) -> dict[str, int]:
    """Write every stream. Returns records written by "source.stream"."""
    texts = Texts(world.without_faults() if parquet else world)
    write_events = weblog.write_parquet if parquet else weblog.write_jsonl
    counts = {"sandbox_site.events": write_events(texts, out / "sandbox_site" / "events")}
    if events_only:
        return counts
    writers: Mapping[str, Callable[[Texts, Path], int]] = {
        "sandbox_shop.fx_rates": write_fx_rates,
        "sandbox_shop.products": write_products,
        "sandbox_shop.order_lines": write_order_lines,
        "sandbox_shop.refunds": write_refunds,
        "sandbox_marketing.campaigns": marketing.write_campaigns,
        "sandbox_marketing.contacts": crm.write_contacts,
        "sandbox_marketing.consents": crm.write_consents,
        "sandbox_marketing.ad_spend": marketing.write_ad_spend,
        "sandbox_marketing.email_events": marketing.write_email_events,
        "sandbox_marketing.contact_events": crm.write_contact_events,
    }
    for name, write in writers.items():
        folder = out.joinpath(*name.split("."))
        folder.mkdir(parents=True, exist_ok=True)
        counts[name] = write(texts, folder)
    return counts


def write_products(texts: Texts, folder: Path) -> int:
    """The catalogue on the first day, then each product on the day its price changes."""
    world, names, said = texts.world, site.product_names(), site.product_texts()
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
                {
                    "product_id": product_id,
                    "name": names[place],
                    "category": category,
                    "price": price,
                    "currency": "GBP",
                    "is_active": True,
                    "description": said[place],
                }
                | {"updated_at": stamps[place]}
            )
            at.append(int(instant[place]))
    return by_day(world, folder, ".jsonl", objects(rows), np.asarray(at))


def write_order_lines(texts: Texts, folder: Path) -> int:
    """One row per line on the day of the order; 0.5 % are delivered again the next day; a few rows are broken."""
    world, orders, people = texts.world, texts.world.orders, texts.world.people
    order, at = orders.line_order, orders.ordered_at[orders.line_order]
    person = orders.person[order]
    quoted = [f'"{name}"' if "," in name else name for name in site.product_names()]
    stamp = instants(at)
    is_voucher = (world.visits.campaign[orders.visit] == pools.PLACES["a-41"]).astype(np.int64)
    tells = ~orders.is_placeholder_phone & (orders.visit % 10 < 3)
    typed = texts.phone(orders.person, (orders.visit % 7 == 0).astype(np.int64))
    everybody = np.arange(len(orders))
    phone = joined(
        taken_where(orders.is_placeholder_phone, pa.array([pools.PLACEHOLDER_PHONE]), 0 * everybody), taken_where(tells, typed, everybody)
    )
    names = (
        "order_id", "line_number", "ordered_at", "updated_at", "user_id", "email", "phone", "product_id", "description", "quantity", "unit_price",
        "line_total", "currency", "country", "coupon_code",
    )  # fmt: skip
    header, rows = csv_text(
        names, taken(texts.order_id, order), numbers(orders.line_number), stamp, stamp,
        taken_where(people.has_account[person], texts.user_id, person), taken(texts.order_email, order), taken(phone, order),
        taken(site.product_ids(), orders.line_product), taken(quoted, orders.line_product), numbers(orders.line_quantity),
        amounts(orders.line_price), amounts(orders.line_price * orders.line_quantity), taken(texts.order_currency, order),
        taken([code for code, _, _ in pools.COUNTRIES], people.country[person]), taken(("", "VOUCHER"), is_voucher[order]),
    )  # fmt: skip
    again = lines_again(world)
    rows, at = pa.concat_arrays([rows, rows.take(pa.array(again))]), np.concatenate([at, at[again] + DAY])
    return by_day(world, folder, ".csv", rows, at, header, lambda place: broken_lines(world, place))


def lines_again(world: World) -> Ints:
    """The order lines that are delivered again the next day."""
    at = world.orders.ordered_at[world.orders.line_order]
    return np.flatnonzero((stream(world.seed, "lines again").random(len(at)) < world.mess.lines_again) & (at + DAY < world.end))


def broken_lines(world: World, place: int) -> list[bytes]:
    """The order lines of a day that nobody can use: a comma that nobody quoted, a word for a number."""
    stamp = f"{world.first_day + timedelta(days=place)}T12:00:00.000Z"
    rows = {4: f"S-ragged-{place},1,{stamp},{stamp},,,,P-0004,Ceramic Print, boxed,1,9.95,9.95,GBP,GB,"}
    rows |= {8: f"S-types-{place},1,{stamp},{stamp},,,,P-0001,Ceramic Mug,two,9.95,19.90,GBP,GB,"}
    return [rows[place % 10].encode()] if world.mess.cut_short and place % 10 in rows else []


def write_refunds(texts: Texts, folder: Path) -> int:
    """Every refunded line on the day it came back."""
    world, orders = texts.world, texts.world.orders
    line = orders.refund_line
    reasons = ("damaged", "changed_mind", "wrong_item", "late")
    order, stamp = orders.line_order[line], instants(orders.refunded_at)
    names = ("refund_id", "order_id", "line_number", "product_id", "quantity", "amount", "currency", "refunded_at", "updated_at", "reason")
    header, rows = csv_text(
        names, joined("R", numbers(500_001 + np.arange(len(line)))), taken(texts.order_id, order), numbers(orders.line_number[line]),
        taken(site.product_ids(), orders.line_product[line]), numbers(orders.refund_quantity), amounts(orders.refund_amount),
        taken(texts.order_currency, order), stamp, stamp, taken(reasons, line % len(reasons)),
    )  # fmt: skip
    return by_day(world, folder, ".csv", rows, orders.refunded_at, header)


def write_fx_rates(texts: Texts, folder: Path) -> int:
    """GBP for one EUR and one USD, every day."""
    world = texts.world
    euro, dollar = exchange_rates(world.seed, world.days)
    rows, at = [], []
    for place in range(world.days):
        for column, (currency, walk) in enumerate((("EUR", euro), ("USD", dollar))):
            rows.append(f"{world.first_day + timedelta(days=place)},{currency},{walk[place]:.6f}")
            at.append(world.start + place * DAY + column)
    return by_day(world, folder, ".csv", pa.array(rows), np.asarray(at), "rate_date,currency,rate")
