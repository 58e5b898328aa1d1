"""What SendGrid sends and lists is in silver what a drop of the same rows is."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import pytest

from conf.settings import source
from connectors.kernel.connector import Counts
from connectors.kernel.inbox import Delivery, inbox_of
from connectors.kernel.landing import Landing, landed
from connectors.sandbox import files, world
from connectors.sandbox.apis import sendgrid as vendor, served
from connectors.sources.sendgrid import CONNECTOR
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import BRONZE, candidates
from spark_jobs.silver.events import event_id, with_optional

NOW = datetime(2026, 11, 21, tzinfo=UTC)
COLUMNS = [part.split(" ")[0] for part in BRONZE.split(", ")]
SAME = (
    "client_event_id",
    "event_name",
    "event_type",
    "campaign_id",
    "campaign_name",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "properties",
)


@pytest.fixture
def bronze(spark, home):
    """bronze(name, rows): a bronze table of rows, of which each says some columns."""
    lake = Lake(spark, str(home / "lake"))

    def write(name, rows):
        table = spark.createDataFrame([tuple(row.get(column) for column in COLUMNS) for row in rows], BRONZE)
        table.write.format("delta").mode("overwrite").save(lake.path(f"bronze.{name}"))
        return lake

    return write


def envelopes(home, stream):
    """The landed records as bronze has them."""
    paths = [Path(file["path"]) for one in landed(home / "landing", "sendgrid", stream) for file in one.manifest["files"]]
    lines = [orjson.loads(line) | {"_file": str(path)} for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]
    times = {"_extracted_at": datetime.fromisoformat, "_ingest_date": date.fromisoformat}
    return [line | {key: read(line[key]) for key, read in times.items()} for line in lines]


def test_events_and_refusals_are_those_of_the_drop(bronze, home, monkeypatch):
    files.write_world(world.make_world(people=200, days=28, until=date(2026, 11, 20), seed=7), home / "drops")
    served.part(home / "drops", home / "apis")
    rows = served.Served(home / "apis", "sendgrid", lambda: NOW)
    events = [row for row in rows.rows("email_events") if row["event"] in vendor.EVENTS]
    stream = CONNECTOR.declared(source("sendgrid"), "events")
    inbox, landing = inbox_of(stream, stream.accounts[0]), Landing(home / "landing", "run")
    for number in range(2):
        for body in vendor.bodies(events):
            inbox.put(Delivery(body, NOW.replace(hour=number), NOW, False))
        inbox.close()
        inbox.land(stream, stream.accounts[0], landing, lambda _: None, Counts())
    lake = bronze("sendgrid__events", envelopes(home, "events"))
    said = [
        {"_file": "drop", "_row": n, "_attempt": 1, "_slice_id": "s", "payload": json.dumps(row)} for n, row in enumerate(events, start=1)
    ]
    bronze("sandbox_marketing__email_events", said)

    def found(name):
        mapped = candidates(lake, name, "silver.events", None, None)
        mapped = with_optional(mapped).withColumn("event_id", event_id()).toPandas()
        assert mapped["_reason"].isna().all()
        return mapped

    sent, dropped = found("sendgrid"), found("sandbox_marketing")
    # twice delivered, once an event
    assert len(sent) == 2 * len(events) and sent["event_id"].nunique() == len(events)
    sent = sent.drop_duplicates("event_id").set_index("client_event_id").sort_index()
    dropped = dropped.set_index("client_event_id").sort_index()
    for column in SAME[1:]:
        assert sent[column].tolist() == dropped[column].tolist()
    assert (sent["event_at"] == dropped["event_at"].dt.floor("s")).all()
    kinds = [[value["namespace"].rpartition(".")[2] for value in one] for one in sent["_raw_identifiers"]]
    values = [[value["value"] for value in one] for one in sent["_raw_identifiers"]]
    assert values == [[value["value"] for value in one] for one in dropped["_raw_identifiers"]]
    assert kinds == [[value["namespace"].rpartition(".")[2] for value in one] for one in dropped["_raw_identifiers"]]


def test_refusals_are_choices_of_their_addresses(bronze, home):
    def rows(*records):
        return [
            {"_file": "f", "_row": n, "_attempt": 1, "_slice_id": "s", "_extracted_at": NOW, "payload": json.dumps(record)}
            for n, record in enumerate(records, start=1)
        ]

    at = int(datetime(2026, 11, 10, 9, tzinfo=UTC).timestamp())
    bronze("sendgrid__unsubscribes", rows({"created": at, "email": "Ann@Mail.example"}))
    bronze("sendgrid__spam_reports", rows({"created": at, "email": "bob@mail.example", "ip": "192.0.2.1"}))
    group = {"group_id": 7001, "group_name": "Daily", "created_at": at}
    lake = bronze(
        "sendgrid__group_suppressions",
        rows({"email": "cy@mail.example", **group}, {"email": "cy@mail.example", **group, "created_at": "x"}),
    )
    found = candidates(lake, "sendgrid", "silver.consents", None, None).orderBy("_source_row", "purpose", "evidence").collect()
    told = [(one["purpose"], one["is_granted"], one["evidence"], one["_reason"]) for one in found]
    assert told == [
        ("email", False, "global_unsubscribe", None),
        ("email", False, "spam_report", None),
        ("email_group_7001", False, "group_unsubscribe: Daily", None),
        ("email_group_7001", False, "group_unsubscribe: Daily", "mapping_failed:valid_from"),
    ]
    assert {one["valid_from"] for one in found[:3]} == {datetime(2026, 11, 10, 9)}
    assert found[0]["_raw_identifiers"][0]["value"] == "ann@mail.example"


def test_an_event_has_silvers_name_and_its_readers_address(bronze):
    said = [
        ({"event": "bounce", "type": "bounce", "ip": "198.51.100.1"}, "email_bounced", None),
        ({"event": "bounce", "type": "blocked"}, "email_blocked", None),
        ({"event": "dropped"}, "email_dropped", None),
        ({"event": "group_unsubscribe", "ip": "192.0.2.1"}, "email_group_unsubscribed", None),
        ({"event": "open", "ip": "192.0.2.1", "category": ["a", "b"]}, "email_opened", "192.0.2.1"),
        ({"event": "a new-One", "singlesend_id": "s1", "type": 7}, "email_a_new_one", None),
    ]
    shared = {"timestamp": 1763000000, "email": "ann@mail.example"}
    rows = [
        {"_file": "f", "_row": n, "_attempt": 1, "_slice_id": "s", "_extracted_at": NOW,
         "payload": json.dumps({"event": {**shared, **event}, "delivery": {"received_at": "2026-11-20T10:00:00.000000Z"}})}
        for n, (event, _, _) in enumerate(said, start=1)
    ]  # fmt: skip
    found = candidates(bronze("sendgrid__events", rows), "sendgrid", "silver.events", None, None).orderBy("_source_row").collect()
    assert [(one["event_name"], one["ip"], one["_reason"]) for one in found] == [(name, ip, None) for _, name, ip in said]
    assert found[-1]["campaign_id"] == "s1"
