"""The web events of the sandbox as text: columns by name, and each event as one JSON object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from connectors.sandbox import log, pools
from connectors.sandbox.chance import Flags, Ints, Words, below
from connectors.sandbox.log import CART, CHECKOUT, CONFLICT, LANDING, LOGIN, ORDER, PRODUCT, SEARCH
from connectors.sandbox.mess import FAULTS
from connectors.sandbox.text import amounts, hexadecimal, instants, joined, numbers, replaced, taken, taken_where
from connectors.sandbox.visits import EMAIL, newsletter_week
from connectors.sandbox.world import World

KINDS = (
    ("page", "page_viewed"),
    ("identify", "logged_in"),
    ("page", "page_viewed"),
    ("track", "searched"),
    ("track", "product_viewed"),
    ("track", "cart_added"),
    ("track", "checkout_started"),
    ("track", "order_completed"),
)


def product_ids() -> list[str]:
    return [f"P-{place + 1:04d}" for place in range(pools.PRODUCTS)]


def product_names() -> list[str]:
    """Every tenth name holds a comma, as shops' names do."""
    kinds = len(pools.NOUNS)
    plain = [f"{pools.MATERIALS[p // kinds]} {pools.NOUNS[p % kinds]}" for p in range(pools.PRODUCTS)]
    return [f"{name}, boxed" if place % 10 == 3 else name for place, name in enumerate(plain)]


def product_texts() -> list[str]:
    """What the shop's page says about each product."""
    kinds, phrases = len(pools.NOUNS), pools.PHRASES
    return [
        f"{pools.MATERIALS[p // kinds]} {pools.NOUNS[p % kinds].lower()}, {phrases[p % 5]}; {phrases[(p // 5) % 5]}."
        for p in range(pools.PRODUCTS)
    ]


def category_of(product: Ints) -> Ints:
    return product % len(pools.NOUNS) // 2


def newsletters(world: World) -> list[tuple[str, str]]:
    """(campaign id, name) of every newsletter."""
    weeks = range(world.days // 7 + 2)
    return [(f"e-{w:02d}", f"newsletter-{(world.first_day + timedelta(days=7 * (w - 1))).isoformat()}") for w in weeks]


def entries(world: World) -> list[pools.Entry]:
    """All ways in, as each variant of pools.VARIANTS in turn shows them: those of the pools, then one per newsletter."""
    mail = [
        pools.Entry("email", 1, pools.NEWSLETTER, "email", name, campaign_id, referrer="https://mail.google.com/", group="Email")
        for campaign_id, name in newsletters(world)
    ]
    return [variant(entry) for variant in pools.VARIANTS for entry in (*pools.ENTRIES, *mail)]


class Texts:
    """The world's reusable text columns, each made once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.entries = entries(world)
        visits, ways = world.visits, len(self.entries) // len(pools.VARIANTS)
        mail = len(pools.ENTRIES) + newsletter_week(world.start, visits.started)
        self.entry = (visits.variant * ways + np.where(visits.channel == EMAIL, mail, visits.entry)).astype(np.int16)
        self.has_login = np.zeros(len(visits), dtype=bool)
        self.has_login[world.events.visit[world.events.kind == LOGIN]] = True

    def prepare(self) -> None:
        """Make every column now, so that threads only read them."""
        for name, value in vars(Texts).items():
            if isinstance(value, cached_property):
                getattr(self, name)

    def mailbox(self, number: Ints) -> pa.Array:
        """The e-mail addresses of these numbers: three of each person, of one name and different look."""
        people = self.world.people
        owner, slot = number // 3, number % 3
        first, last = [n.lower() for n in pools.FIRST_NAMES], [n.lower() for n in pools.LAST_NAMES]
        host = (people.mail_host[owner] + slot) % len(pools.MAIL_HOSTS)
        return joined(
            taken(first, people.first_name[owner]), taken((".", "", "_"), slot), taken(last, people.last_name[owner]), numbers(owner),
            "@", taken(pools.MAIL_HOSTS, host),
        )  # fmt: skip

    @cached_property
    def email(self) -> pa.Array:
        """Per person: the address of the account and of the CRM."""
        return self.mailbox(self.world.people.mailbox[:, 0])

    @cached_property
    def user_id(self) -> pa.Array:
        """Per person, also for those who never sign in."""
        return joined("u-", numbers(np.arange(len(self.world.people)), 6))

    @cached_property
    def address(self) -> pa.Array:
        """Per visit: the visitor's IPv4 address; offices and crawlers come from ranges of their own."""
        visits, people = self.world.visits, self.world.people
        office, bot = len(pools.COUNTRIES), len(pools.COUNTRIES) + 1
        home = people.country[visits.person.clip(0)]
        place = np.where(visits.person < 0, bot, np.where(visits.is_office, office, home))
        prefix = [prefix for _, prefix, _ in pools.COUNTRIES]
        return joined(
            taken([*prefix, "193.62", "66.249"], place),
            ".",
            numbers(visits.address // 254 % 254 + 1),
            ".",
            numbers(visits.address % 254 + 1),
        )

    @cached_property
    def order_id(self) -> pa.Array:
        """Per order."""
        return joined("S", numbers(100_001 + np.arange(len(self.world.orders))))

    @cached_property
    def order_email(self) -> pa.Array:
        """Per order: what the buyer typed; some mistype it, a few type a placeholder."""
        orders, people = self.world.orders, self.world.people
        typed = self.mailbox(people.mailbox[orders.person, orders.slot])
        typos = pa.compute.replace_substring(typed, ".example", ".exmaple")
        placeholder = taken(pools.PLACEHOLDER_EMAILS, np.arange(len(orders)) % len(pools.PLACEHOLDER_EMAILS))
        typed = pa.compute.if_else(pa.array(orders.has_typo), typos, typed)
        return pa.compute.if_else(pa.array(orders.is_placeholder), placeholder, typed)

    @cached_property
    def order_currency(self) -> pa.Array:
        return taken(("GBP", "EUR"), self.world.orders.is_euro.astype(np.int64))

    @cached_property
    def token(self) -> pa.Array:
        return hexadecimal(self.world.visits.token)

    @cached_property
    def order(self) -> Ints:
        """Per visit its place in Orders, -1 without."""
        return self.world.order_of_visit

    def phone(self, person: Ints, is_second: Ints) -> pa.Array:
        """Everybody has two numbers: 0 stands in the CRM, 1 is given now and then."""
        return joined("+44", numbers(7_400_000_000 + 2 * person + is_second))


def _optional(prefix: str, value: str, suffix: str) -> str:
    return f"{prefix}{value}{suffix}" if value else ""


def _query(entry: pools.Entry) -> str:
    pairs = {"utm_source": entry.source, "utm_medium": entry.medium, "utm_campaign": entry.campaign, "utm_content": entry.content}
    pairs |= {"utm_term": entry.term.replace(" ", "+"), "utm_id": entry.campaign_id}
    text = "&".join(f"{key}={value}" for key, value in pairs.items() if value)
    if entry.click_id_type:
        text += f"{'&' if text else ''}{entry.click_id_type}="
    return f"?{text}" if text else ""


def _campaign(entry: pools.Entry) -> str:
    pairs = {"source": entry.source, "medium": entry.medium, "name": entry.campaign, "content": entry.content}
    pairs |= {"term": entry.term, "id": entry.campaign_id}
    inner = ",".join(f'"{key}":"{value}"' for key, value in pairs.items() if value)
    return _optional(',"campaign":{', inner, "}")


def _pages() -> tuple[list[str], list[str]]:
    """Paths and titles: home, the categories, account, cart, thanks, search, checkout, the products."""
    paths = [
        "/",
        *(f"/c/{name}" for name in pools.CATEGORIES),
        "/account",
        "/cart",
        "/checkout/thanks",
        "/search",
        "/checkout",
        *(f"/p/{one}" for one in product_ids()),
    ]
    fixed = ("Your account", "Your cart", "Thank you", "Search", "Checkout")
    titles = ["Home", *(name.title() for name in pools.CATEGORIES), *fixed, *product_names()]
    return paths, titles


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Text and number columns of some events, by name; the empty text stands for none."""

    columns: Mapping[str, pa.Array]

    def __getitem__(self, name: str) -> pa.Array:
        return self.columns[name]


def tells_email(texts: Texts, visit: Ints, kind: Ints) -> Flags:
    """Whether an event of this kind names an address: signing in, and an order of most guests."""
    visits = texts.world.visits
    has_account = texts.world.people.has_account[visits.person[visit].clip(0)]
    guest_tells = below(10, visits.token[visit], 8) < 7
    return np.asarray(texts.has_login[visit] & (kind == LOGIN) | (kind == ORDER) & (has_account | guest_tells))


def chunk_of(texts: Texts, rows: slice) -> Chunk:
    """The columns of the events in `rows`."""
    world = texts.world
    events, visits, people = world.events, world.visits, world.people
    visit, kind, product = events.visit[rows], events.kind[rows], events.product[rows]
    is_landing, is_order, is_bot = kind == LANDING, kind == ORDER, visits.person[visit] < 0
    person, token = visits.person[visit].clip(0), visits.token[visit]
    entry, order = texts.entry[visit], texts.order[visit]
    page = _page_of(kind, product, token)
    paths, titles = _pages()
    signed_in = texts.has_login[visit] & (kind >= LOGIN)
    tells = tells_email(texts, visit, kind)
    clicked = is_landing & np.asarray([bool(one.click_id_type) for one in texts.entries])[entry]
    empty = len(texts.entries)
    shown = np.where(is_landing, entry, empty)
    own = next(i for i, one in enumerate(pools.ENTRIES) if one.channel == "direct")
    of_product = (kind == PRODUCT) | (kind == CART)
    price = world.prices[product, (world.day_of(events.event_at[rows]) >= world.price_change_day[product]).astype(np.int64)]
    email = taken_where(tells & ~is_order, texts.email, person)
    if len(texts.order_email):
        email = joined(email, taken_where(tells & is_order, texts.order_email, np.where(is_order, order, 0)))
    at, sent_at = log.stated(world.seed, events, world.visits.cookie, rows)
    is_placeholder = visits.has_placeholder_user[visit]
    user_id = joined(
        taken_where(signed_in & ~is_placeholder, texts.user_id, person),
        taken_where(is_placeholder, pa.array(pools.PLACEHOLDER_USERS), visit % len(pools.PLACEHOLDER_USERS)),
    )
    has_cookie = visits.has_cookie[visit]
    marketing = people.allows_marketing[person] & (events.event_at[rows] < people.marketing_withdrawn_at[person])
    consent = people.allows_analytics[person] + 2 * marketing + 4 * people.allows_personalisation[person]
    columns: dict[str, Any] = {
        "id": joined("e-", hexadecimal(events.id[rows])),
        "kind": kind,
        "fault": events.fault[rows],
        "event_at": instants(at),
        "received_at": instants(events.received_at[rows]),
        "sent_at": instants(sent_at),
        "anonymous_id": pa.compute.if_else(pa.array(has_cookie), hexadecimal(visits.cookie[visit]), pools.NO_COOKIE),
        "session_id": joined("s-", taken(texts.token, visit)),
        "user_id": user_id,
        "email": email,
        "path": taken(paths, page),
        "title": joined(taken(titles, page), taken(("", " (edited)"), (events.copy[rows] == CONFLICT).astype(np.int64))),
        "query": joined(taken([*map(_query, texts.entries), ""], shown), taken_where(clicked, texts.token, visit)),
        "referrer": taken([*(e.referrer for e in texts.entries), f"{pools.SITE}/"], np.where(is_bot, own, shown)),
        "campaign": taken([*map(_campaign, texts.entries), ""], shown),
        "campaign_id": taken([*(e.campaign_id for e in texts.entries), ""], shown),
        "click_id_type": taken([*(e.click_id_type for e in texts.entries), ""], shown),
        "click_id": taken_where(clicked, texts.token, visit),
        "product_id": taken_where(of_product, pa.array(product_ids()), product),
        "price": amounts(price),
        "of_product": of_product,
        "search": taken_where(kind == SEARCH, pa.array(_searches()), product % len(_searches())),
        "order": np.where(is_order, order, -1),
        "consent": np.where(is_bot, len(CONSENTS) - 1, consent.astype(np.int64)),
        "is_new_release": visits.has_new_release[visit],
        "user_agent": taken([*pools.AGENTS, *pools.BOT_AGENTS], visits.agent[visit]),
        "ip": taken(texts.address, visit),
    }
    for name in ("source", "medium", "campaign", "content", "term"):
        columns[f"utm_{name}"] = taken([*(getattr(one, name) for one in texts.entries), ""], shown)
    return Chunk(columns)


def _page_of(kind: Ints, product: Ints, token: Words) -> Ints:
    """The place in `_pages` that each event was on; a landing is home or a category, by the visit."""
    categories = len(pools.CATEGORIES)
    landing = (token % np.uint64(categories + 2)).astype(np.int64) % (categories + 1)
    fixed = {LOGIN: 1, CART: 2, ORDER: 3, SEARCH: 4, CHECKOUT: 5}
    page = np.where(kind == PRODUCT, categories + 6 + product.astype(np.int64), 1 + category_of(product))
    for one, place in fixed.items():
        page = np.where(kind == one, categories + place, page)
    return np.where(kind == LANDING, landing, page)


def _searches() -> list[str]:
    return [f"{word} {noun.lower()}" for noun in pools.NOUNS for word in pools.SEARCHES]


def _consent(flags: int) -> str:
    given = ("true" if flags & bit else "false" for bit in (1, 2, 4))
    return ',"consent":{{"analytics":{},"marketing":{},"personalisation":{}}}'.format(*given)


# by what is allowed, one bit each; the last for who was never asked
CONSENTS = (*(_consent(flags) for flags in range(8)), "")


def order_fragments(texts: Texts) -> pa.Array:
    """Per order: what order_completed says about it, as JSON members."""
    orders = texts.world.orders
    items = np.bincount(orders.line_order, weights=orders.line_quantity, minlength=len(orders.total)).astype(np.int64)
    return joined(
        ',"order_id":"', texts.order_id, '","value":', amounts(orders.total), ',"currency":"', texts.order_currency,
        '","properties":{"items":', numbers(items), "}",
    )  # fmt: skip


def payloads(texts: Texts, chunk: Chunk, orders: pa.Array) -> pa.Array:
    """Each event as one JSON object, broken where it has such a fault. No text of the pools needs escaping."""
    kinds = [f'","type":"{kind}","event":"{name}","event_at":"' for kind, name in KINDS]
    order, of_product = chunk["order"], chunk["of_product"]

    def member(name: str, column: pa.Array) -> pa.Array:
        has = is_told(column)
        return joined(taken(("", f',"{name}":"'), has), column, taken(("", '"'), has))

    has_click, is_product, is_search = is_told(chunk["click_id"]), of_product.astype(np.int64), is_told(chunk["search"])
    whole = joined(
        '{"id":"', chunk["id"], taken(kinds, chunk["kind"]), chunk["event_at"], '","sent_at":"', chunk["sent_at"],
        '","received_at":"', chunk["received_at"], '","anonymous_id":"', chunk["anonymous_id"],
        '","session_id":"', chunk["session_id"], '"',
        member("user_id", chunk["user_id"]), member("email", chunk["email"]),
        ',"page":{"url":"', pools.SITE, chunk["path"], chunk["query"], '","path":"', chunk["path"], '","title":"', chunk["title"], '"',
        member("referrer", chunk["referrer"]), "}", chunk["campaign"],
        taken(("", ',"click":{"type":"'), has_click), chunk["click_id_type"], taken(("", '","id":"'), has_click), chunk["click_id"],
        taken(("", '"}'), has_click),
        member("product_id", chunk["product_id"]),
        taken(("", ',"properties":{"price":', ',"properties":{"query":"'), is_product + 2 * is_search),
        taken_where(of_product, chunk["price"], np.arange(len(order))), chunk["search"], taken(("", "}", '"}'), is_product + 2 * is_search),
        taken_where(order >= 0, orders, order), taken(CONSENTS, chunk["consent"]),
        taken(("", ',"release":{"version":"5.2.0","experiments":["new_search","short_checkout"]}'), chunk["is_new_release"].astype(np.int64)),
        ',"user_agent":"', chunk["user_agent"], '","ip":"', chunk["ip"], '"}',
    )  # fmt: skip
    return with_faults(whole, chunk["fault"])


def with_faults(whole: pa.Array, fault: Ints) -> pa.Array:
    """The texts with those replaced whose fault breaks the text itself."""
    codes = [code for code, one in enumerate(FAULTS) if one.pattern]
    broken = [(code, np.flatnonzero(fault == code)) for code in codes]
    parts = [
        pa.compute.replace_substring_regex(whole.take(pa.array(at)), FAULTS[code].pattern, FAULTS[code].instead, max_replacements=1)
        for code, at in broken
    ]
    return replaced(whole, np.concatenate([at for _, at in broken]), pa.concat_arrays(parts))


def is_told(column: pa.Array) -> npt.NDArray[np.int64]:
    """1 where the text is not empty."""
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    return (np.diff(offsets) > 0).astype(np.int64)
