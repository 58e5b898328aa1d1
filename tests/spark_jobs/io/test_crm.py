"""What the CRMs' APIs bring, mapped, beside what the drop of the same rows says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from connectors.kernel import jobs
from connectors.sandbox.apis import server
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import BRONZE, candidates
from tests.connectors.sources.crm import NOW, envelopes, make_world, pull, rows_of, unhurried

COLUMNS = [part.split(" ")[0] for part in BRONZE.split(", ")]
EVENT = (
    "client_event_id", "event_name", "event_type", "event_at", "properties", "value_amount", "currency", "identifiers", "channel", "campaign_id",
    "_reason",
)  # fmt: skip


@pytest.fixture
def mapped(spark, home):
    """mapped(source, table, {stream: envelopes}): what the source's mapping makes of the records."""
    lake = Lake(spark, str(home / "lake"))

    def of(source: str, name: str, streams: dict[str, list[dict]]) -> list:
        for stream, found in streams.items():
            known = [{"_file": stream, "_row": n, "_attempt": 1, "_extracted_at": NOW, **one} for n, one in enumerate(found, start=1)]
            rows = [tuple(one.get(c) if c not in TIMES else TIMES[c](one.get(c)) for c in COLUMNS) for one in known]
            spark.createDataFrame(rows, BRONZE).write.format("delta").mode("overwrite").save(lake.path(f"bronze.{source}__{stream}"))
        return candidates(lake, source, name, None, None).collect()

    return of


TIMES = {
    "_extracted_at": lambda at: datetime.fromisoformat(at).replace(tzinfo=None) if isinstance(at, str) else at.replace(tzinfo=None),
    "_ingest_date": lambda _: None,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def sandbox(folder, home, monkeypatch):
    monkeypatch.setattr(jobs, "FIRST_WAIT", 0.01)
    with server.serving(folder, NOW) as made:
        for name, value in made.connections().items():
            monkeypatch.setenv(name, value)
        yield made


def dropped(rows) -> list[dict]:
    return [{"_slice_id": "s", "payload": json.dumps(row)} for row in rows]


def said(rows, *names) -> set:
    return {tuple(str(sorted(row[name]) if name == "identifiers" else row[name]) for name in names) for row in rows}


@pytest.mark.parametrize("is_bulk", [True, False])
def test_deals_are_the_events_of_the_drop(sandbox, home, folder, mapped, is_bulk):
    if not is_bulk:
        sandbox.faults.append(server.Fault("salesforce", "/jobs/query$", "no_bulk", times=99))
    pull(unhurried("salesforce"), home)
    streams = {name: envelopes(home, "salesforce", name) for name in ("leads", "opportunities", "opportunity_history")}
    found = mapped("salesforce", "silver.events", streams)
    rows = rows_of(folder, "salesforce", "contact_events")
    expected = mapped("sandbox_marketing", "silver.events", {"contact_events": dropped(rows), "email_events": []})
    assert said(found, *EVENT) == said(expected, *EVENT) and len(expected) == len(rows)
    won = [row for row in found if row["event_name"] == "deal_won"]
    assert won and all(isinstance(row["value_amount"], Decimal) and row["currency"] == "GBP" for row in won)
    # a deal's beginning is said by itself and by its history
    assert len(found) == len(rows) + sum(row["event"] == "deal_created" for row in rows)


def test_what_is_in_the_bin_is_another_event(sandbox, home, mapped):
    lead = next(row for row in sandbox.served["salesforce"].rows("contact_events") if row["event"] == "lead_created")
    sandbox.served["salesforce"].add("contact_events", {**lead, "is_deleted": True, "received_at": "2026-11-20T10:00:00.000Z"})
    pull(unhurried("salesforce"), home)
    streams = {name: envelopes(home, "salesforce", name) for name in ("leads", "opportunities", "opportunity_history")}
    (gone,) = [row for row in mapped("salesforce", "silver.events", streams) if row["event_name"].endswith("_deleted")]
    assert gone["client_event_id"] == f"{lead['id']}-deleted" and gone["event_at"] == datetime(2026, 11, 20, 10)


def test_contacts_are_those_of_the_drop_and_say_when_they_were_deleted(sandbox, home, folder, mapped):
    newest = sandbox.served["hubspot"].newest("contacts", "crm_id")
    gone = {**newest[0], "updated_at": "2026-11-19T10:00:00.000Z", "archived_at": "2026-11-19T11:00:00.000Z"}
    sandbox.served["hubspot"].add("contacts", gone)
    pull(unhurried("hubspot"), home)
    found = mapped("hubspot", "silver.contacts", {name: envelopes(home, "hubspot", name) for name in ("contacts", "archived_contacts")})
    expected = mapped("sandbox_marketing", "silver.contacts", {"contacts": dropped(newest[1:])})
    names = ("valid_from", "created_at", "country", "is_deleted", "identifiers", "_reason")
    assert said([row for row in found if not row["is_deleted"]], *names) == said(expected, *names) and len(found) == len(newest)
    (deleted,) = [row for row in found if row["is_deleted"]]
    assert deleted["valid_from"].replace(tzinfo=UTC) == datetime(2026, 11, 19, 11, tzinfo=UTC)
