"""How right a lake is about the sandbox world: every line of the web log in exactly one place, who is who, sessions, channels, money, credit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
from deltalake import DeltaTable, QueryBuilder
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from conf.names import place_of
from connectors.kernel.errors import ConnectorError

QUARANTINE = {"source": pl.String, "_file": pl.String, "_row": pl.Int64, "_reason": pl.String}
SOURCE, SHOP, MARKETING = "sandbox_site", "sandbox_shop", "sandbox_marketing"
# what was not dropped as files came through the vendors' APIs
IS_MARKETING = ~pl.col("source").is_in([SOURCE, SHOP])


@dataclass(frozen=True)
class Score:
    """One line of the score: how many of how many were right."""

    what: str
    right: int
    of: int

    @property
    def share(self) -> float:
        return self.right / self.of if self.of else 1.0

    def __str__(self) -> str:
        return f"{self.share:9.4%}  {self.right:>12,} of {self.of:>12,}  {self.what}"


@dataclass(frozen=True)
class Fit:
    """How near a model's credit per channel or campaign is to what it truly caused: rank correlation (1 = the same order), and by how many
    points of a hundred a share is off on average."""

    model: str
    level: str
    rank_correlation: float
    mean_error: float

    def __str__(self) -> str:
        return f"{self.mean_error:8.2f} points off, rank correlation {self.rank_correlation:+.2f}  credit per {self.level} by {self.model}"


def score(truth: Path, lake: Path) -> list[Score]:
    """All lines that count. truth: the folder that `make` wrote; lake: the root of the lake that was built from its files."""
    records = pl.read_parquet(truth / "records.parquet")
    events = rows(lake, "silver.events")
    site = events.filter(pl.col("source") == SOURCE)
    aside = rows(lake, "silver.events__quarantine").filter(pl.col("source") == SOURCE)
    placed = with_place(records, site, aside)
    books, touches = pl.read_parquet(truth / "ledger.parquet"), pl.read_parquet(truth / "touches.parquet")
    if set(events["source"]) - {SOURCE, SHOP, MARKETING}:
        # it counts what is wrong with the files of those drops
        books = books.filter(pl.col("source") != MARKETING)
    sessions, conversions = rows(lake, "journeys.sessions"), rows(lake, "journeys.conversions")
    return [
        *faults(placed),
        *ledger(books, rows(lake, "ops.ledger")),
        *instants(placed, site),
        *people(placed, site, rows(lake, "identity.person_map")),
        *crawlers(placed, site),
        *visits(pl.read_parquet(truth / "visits.parquet"), sessions),
        *sessions_of_crawlers(pl.read_parquet(truth / "crawlers.parquet"), placed, site, sessions),
        *orders(pl.read_parquet(truth / "orders.parquet"), rows(lake, "silver.orders"), conversions),
        *ad_spend(pl.read_parquet(truth / "ad_spend.parquet"), rows(lake, "silver.ad_spend")),
        *consents(pl.read_parquet(truth / "consents.parquet"), rows(lake, "silver.consents")),
        *machines(touches, events),
        *letters(touches, events),
    ]


def rows(lake: Path, name: str) -> pl.DataFrame:
    """A table of the lake; where nothing was ever set aside there is no quarantine."""
    path = lake / place_of(name)
    if name.endswith("__quarantine") and not path.is_dir():
        return pl.DataFrame(schema=QUARANTINE)
    if not path.is_dir():
        raise ConnectorError(f"{lake} has no {name}: build the lake first, `make demo` or `python -m spark_jobs run all --from D --to D`")
    # not through Polars itself, which does not find a table whose path has a space
    return pl.DataFrame(pa.table(QueryBuilder().register("rows", DeltaTable(str(path))).execute("select * from rows").read_all()))


def with_place(records: pl.DataFrame, events: pl.DataFrame, aside: pl.DataFrame) -> pl.DataFrame:
    """The records with where they were found: `event_id` (null: not there), `aside` (quarantined, late; null: not there), and so `found`:
    used, quarantined, late, duplicate, twice or lost. A copy leaves no row of its own: it is a duplicate where the lake holds the event it
    repeats.
    """
    day = pl.col("file").cast(pl.String).str.extract(r"/(\d{4}-\d\d-\d\d)/\d+/[^/]+$").str.to_date()
    used = (
        events.select(file="_source_file", row=pl.col("_source_row").cast(pl.Int64), event_id="event_id").with_columns(day=day).drop("file")
    )
    place = pl.when(pl.col("_reason") == "late").then(pl.lit("late")).otherwise(pl.lit("quarantined"))
    rejected = aside.select(file="_file", row=pl.col("_row").cast(pl.Int64), aside=place).with_columns(day=day).drop("file").unique()
    ids = events.select("client_event_id").drop_nulls().unique().with_columns(is_known=True)
    joined = records.join(used, on=["day", "row"], how="left").join(rejected, on=["day", "row"], how="left")
    joined = joined.join(ids, on="client_event_id", how="left")
    is_used, is_aside = pl.col("event_id").is_not_null(), pl.col("aside").is_not_null()
    found = (
        pl.when(is_used & is_aside).then(pl.lit("twice")).when(is_used).then(pl.lit("used")).when(is_aside).then(pl.col("aside"))
        .when(pl.col("is_known").fill_null(False)).then(pl.lit("duplicate")).otherwise(pl.lit("lost"))
    )  # fmt: skip
    return joined.with_columns(found=found)


def faults(placed: pl.DataFrame) -> list[Score]:
    """Per kind of record, whether it is in the one place it belongs."""
    kinds = placed.group_by("why").agg(of=pl.len(), right=(pl.col("found") == pl.col("fate")).sum()).sort("why")
    return [Score(f"records {r['why'] or 'without a fault'}", r["right"], r["of"]) for r in kinds.iter_rows(named=True)]


def ledger(true: pl.DataFrame, book: pl.DataFrame) -> list[Score]:
    """The lake's own books, of the last build of each range that found work: what they say was set aside, and what was."""
    key, fates = ["table_name", "source"], ["duplicates", "late", "quarantined"]
    last = book.filter(pl.col("rows_in") > 0).sort("started_at").unique([*key, "from_date", "to_date", "input_name"], keep="last")
    said = last.group_by(key).agg(pl.col(fates).sum())
    both = true.join(said, on=key, how="left", suffix="_said").fill_null(0)
    rows = [(row, fate) for row in both.iter_rows(named=True) for fate in fates if row[fate] or row[f"{fate}_said"]]
    return [
        Score(f"{fate} of {row['source']} in the ledger of {row['table_name']}", *sorted((row[fate], int(row[f"{fate}_said"]))))
        for row, fate in rows
    ]


def instants(placed: pl.DataFrame, events: pl.DataFrame) -> list[Score]:
    """Used records whose event_at is what can best be known, the wrong clocks' too."""
    at = events.select("event_id", found_at=pl.col("event_at").dt.cast_time_unit("ms"))
    both = placed.filter(pl.col("fate") == "used").join(at, on="event_id")
    is_clock = pl.col("why").is_in(["clock_off", "year_1970", "year_2100"])
    parts = (("instants", both), ("instants of wrong clocks", both.filter(is_clock)))
    return [Score(what, part.filter(pl.col("event_at") == pl.col("found_at")).height, part.height) for what, part in parts]


def people(placed: pl.DataFrame, events: pl.DataFrame, person_map: pl.DataFrame) -> list[Score]:
    """Pairs of events: of those the lake gives to one person how many are one person's (precision), and the other way round (recall), of all
    pairs and of those that the log itself tells to be one person's (the same browser, login or address); and accounts: two are two people,
    whatever browser they share."""
    current = person_map.filter(pl.col("valid_to").is_null()).select("identifier_key", "person_id")
    keys = events.select("event_id", "identifiers").explode("identifiers").drop_nulls().unnest("identifiers")
    given = keys.join(current, on="identifier_key").group_by("event_id").agg(pl.col("person_id").first())
    all_events = placed.filter((pl.col("person") >= 0) & pl.col("event_id").is_not_null()).join(given, on="event_id", how="left")
    both = all_events.drop_nulls("person_id")
    together = pairs(both.group_by("person", "person_id").len())
    told = pairs(both.group_by("person", "person_id", "told").len())
    accounts = (
        keys.filter(pl.col("namespace").str.ends_with("user_id")).select("identifier_key").unique().join(current, on="identifier_key")
    )
    alone = accounts.group_by("person_id").len().filter(pl.col("len") == 1).height
    return [
        Score("identity precision (pairs of events)", together, pairs(both.group_by("person_id").len())),
        Score("identity recall (pairs of events)", together, pairs(all_events.group_by("person").len())),
        Score("identity recall of what the log tells (pairs of events)", told, pairs(both.group_by("person", "told").len())),
        Score("accounts that share their person with no other account", alone, accounts.height),
    ]


def pairs(groups: pl.DataFrame) -> int:
    size = groups["len"].cast(pl.Int64)
    return int((size * (size - 1) // 2).sum())


def crawlers(placed: pl.DataFrame, events: pl.DataFrame) -> list[Score]:
    """Events of crawlers that are flagged, some of which call themselves browsers, and flags that hit a crawler."""
    both = placed.join(events.select("event_id", "is_bot"), on="event_id")
    true, flagged = both["person"] == -1, both["is_bot"]
    hits = int((true & flagged).sum())
    return [Score("crawlers' events that are flagged", hits, int(true.sum())), Score("flags that are crawlers'", hits, int(flagged.sum()))]


def visits(true: pl.DataFrame, sessions: pl.DataFrame) -> list[Score]:
    """Visits that are one session with the same first and last instant and number of events; of these, those on the channel that their
    landing shows, and those on the channel that truly brought them."""
    true = true.with_columns(pl.col("started_at", "ended_at").dt.cast_time_unit("us"))
    humans = sessions.filter((pl.col("source") == SOURCE) & ~pl.col("is_bot"))
    found = humans.select("session_id", "started_at", "ended_at", pl.col("events").cast(pl.Int64), found_channel="channel")
    same = true.join(found, on=["started_at", "ended_at", "events"], how="inner").unique("visit")
    by_rule, truly = (same.filter(pl.col(name) == pl.col("found_channel")).height for name in ("shown_channel", "channel"))
    return [
        Score("visits that are one session", same.height, true.height),
        Score("channel of these visits", by_rule, same.height),
        Score("channel that truly brought these visits", truly, same.height),
    ]


def sessions_of_crawlers(true: pl.DataFrame, placed: pl.DataFrame, events: pl.DataFrame, sessions: pl.DataFrame) -> list[Score]:
    """Sessions of the crawlers that something gives away, by their agent or by their haste, which are flagged with that reason; and flagged
    sessions that are a crawler's. A crawler's client is nobody else's."""
    keys = events.select("event_id", "identifiers").explode("identifiers").drop_nulls().unnest("identifiers")
    crawler = placed.join(true.select("visit", "sign"), on="visit").join(keys, on="event_id")
    clients = crawler.select("sign", client_key="identifier_key").unique("client_key")
    of_site = sessions.filter(pl.col("source") == SOURCE).join(clients, on="client_key", how="left")
    is_hasty = pl.col("sign").is_in(["inhuman_rate", "no_dwell"])
    told, hasty = of_site.filter(pl.col("sign") == "stated"), of_site.filter(is_hasty)
    flagged = of_site.filter("is_bot")
    return [
        Score("sessions of crawlers by their agent", told.filter("is_bot").height, told.height),
        Score("sessions of crawlers by their haste", hasty.filter(pl.col("bot_reason") == pl.col("sign")).height, hasty.height),
        Score("flagged sessions that are crawlers'", flagged["sign"].count(), flagged.height),
    ]


def orders(true: pl.DataFrame, found: pl.DataFrame, conversions: pl.DataFrame) -> list[Score]:
    """Orders with the right lines, amount, currency and refunds; money in cents: of the orders and, in pounds, of their conversions."""

    def cents(name: str) -> pl.Expr:
        return (pl.col(name).cast(pl.Float64) * 100).round().cast(pl.Int64)

    columns = {"n": pl.col("lines").cast(pl.Int64), "net": cents("net_amount"), "back": cents("refunded_amount")}
    lake = found.filter(pl.col("source") == SHOP).select("order_id", found_currency="currency", **columns)
    both = true.join(lake, on="order_id", how="full", coalesce=True)
    is_right = (
        (pl.col("n") == pl.col("lines")) & (pl.col("net") == cents("amount")) & (pl.col("back") == cents("refunded"))
        & (pl.col("found_currency") == pl.col("currency"))
    )  # fmt: skip
    bought = conversions.filter((pl.col("source") == SHOP) & (pl.col("conversion_type") == "order"))
    worth = bought.select(cents("reporting_amount").sum()).item()
    pounds = true.select(cents("pounds").sum()).item()
    sold, said = (int(frame.select(expression.sum()).item() or 0) for frame, expression in ((true, cents("amount")), (lake, pl.col("net"))))
    return [
        Score("orders with their lines, amounts and refunds", both.filter(is_right).height, both.height),
        Score("order revenue, in cents of either currency", min(sold, said), max(sold, said)),
        Score("conversions of orders", min(true.height, bought.height), max(true.height, bought.height)),
        Score("converted revenue, in pence", min(worth, pounds), max(worth, pounds)),
    ]


def ad_spend(true: pl.DataFrame, found: pl.DataFrame) -> list[Score]:
    """Days of ads with the figures that the vendor restated last."""
    lake = found.filter(IS_MARKETING).select(
        "ad_id",
        day="spend_date",
        found_clicks=pl.col("clicks").cast(pl.Int64),
        found_impressions=pl.col("impressions").cast(pl.Int64),
        found_spend=pl.col("spend_amount").cast(pl.Float64),
    )
    both = true.join(lake, on=["day", "ad_id"], how="full", coalesce=True)
    is_right = (pl.col("clicks") == pl.col("found_clicks")) & (pl.col("impressions") == pl.col("found_impressions"))
    is_right &= (pl.col("spend").cast(pl.Float64) - pl.col("found_spend")).abs() < 5e-7
    return [Score("ad spend as last restated (days of ads)", both.filter(is_right).height, both.height)]


def consents(true: pl.DataFrame, found: pl.DataFrame) -> list[Score]:
    """Choices in force, counted per purpose and answer."""
    last = true.sort("at").group_by("person", "purpose").agg(pl.col("is_granted").last())
    lake = found.filter(IS_MARKETING & pl.col("valid_to").is_null())
    sizes = [frame.group_by("purpose", "is_granted").len() for frame in (last, lake)]
    both = sizes[0].join(sizes[1], on=["purpose", "is_granted"], how="full", coalesce=True).fill_null(0)
    right = int(both.select(pl.min_horizontal("len", "len_right").sum()).item())
    return [Score("choices of consent in force", right, int(both.select(pl.max_horizontal("len", "len_right").sum()).item()))]


def machines(touches: pl.DataFrame, events: pl.DataFrame) -> list[Score]:
    """Clicks in e-mails that a scanner made and that are flagged; opens that a mail provider's proxy made cannot be told from people's."""
    made = touches.drop_nulls("client_event_id").join(
        events.filter(IS_MARKETING).select("client_event_id", "is_bot"), on="client_event_id", how="left"
    )
    scanned = made.filter(pl.col("actor") == "scanner")
    human = made.filter(pl.col("actor") == "human")
    return [
        Score("e-mail events that reached silver", int(made["is_bot"].is_not_null().sum()), made.height),
        Score("clicks of scanners that are flagged", int(scanned["is_bot"].fill_null(False).sum()), scanned.height),
        Score("people's e-mail events that are not", int((~human["is_bot"].fill_null(True)).sum()), human.height),
    ]


def letters(touches: pl.DataFrame, events: pl.DataFrame) -> list[Score]:
    """Newsletters sent, whichever tool sent them: as many as there were."""
    sent = touches.filter(pl.col("kind") == "email_sent").height
    found = events.filter(IS_MARKETING & (pl.col("event_name") == "email_sent")).height
    return [Score("letters sent, each once", min(sent, found), max(sent, found))]


def attribution(truth: Path, lake: Path) -> list[Fit]:
    """Per model of the ledger of credits, how it shares the attributed revenue among channels, and among campaigns of the ad accounts and
    of texts, notes and mailings, against the truly incremental revenue."""
    causes = pl.read_parquet(truth / "campaigns.parquet")
    credits = rows(lake, "attribution.credits").filter(pl.col("reason").is_null())
    named = causes.filter(pl.col("campaign_id") != "")
    of_named = credits.join(named.select("campaign_id"), on="campaign_id", how="semi")
    return [*fits(causes, credits, "channel"), *fits(named, of_named, "campaign_id")]


def fits(causes: pl.DataFrame, credits: pl.DataFrame, level: str) -> list[Fit]:
    """causes: level, pounds. credits: model, level, credit_amount. level: the column that names a channel or a campaign."""
    true = causes.group_by(level).agg(true=pl.col("pounds").sum())
    given = credits.group_by("model", level).agg(given=pl.col("credit_amount").cast(pl.Float64).sum())
    found = []
    for model in sorted(given["model"].unique()):
        both = true.join(given.filter(pl.col("model") == model).drop("model"), on=level, how="full", coalesce=True).fill_null(0.0)
        shares = (both["true"] / both["true"].sum()).to_numpy(), (both["given"] / both["given"].sum()).to_numpy()
        correlation = spearmanr(*shares).statistic if both.height > 1 else float("nan")
        found.append(Fit(model, level.removesuffix("_id"), float(correlation), float(np.abs(shares[0] - shares[1]).mean()) * 100))
    return found
