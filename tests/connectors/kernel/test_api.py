"""What a stream's mode means for what is landed already, over a real HTTP server."""

import gzip
import json
from datetime import date
from pathlib import Path

import pytest

from conf.settings import Source, freeze
from connectors.kernel import pulls
from connectors.kernel.connector import Scope
from connectors.kernel.landing import Landing, landed, newest_of
from tests.connectors.kernel.vendor import Said, vendor

DAY = date(2026, 11, 20)


def source_at(url, mode):
    streams = {"contacts": {"mode": mode, "path": "contacts", "records": ["data"]}}
    settings = {"base_url": url, "auth": {"kind": "bearer"}, "accounts": {"main": {"secret": "crm_main"}}}
    return Source("crm", "klaviyo", freeze(streams), "crm", settings=freeze(settings))


@pytest.fixture
def crm(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CRM_MAIN", '{"password": "crm-key-1234"}')
    with vendor() as made:
        yield made


def in_force(home):
    """The records of the newest attempt of each slice."""
    newest = newest_of(landed(home / "landing", "crm", "contacts")).values()
    return [one.records for one in newest]


def pull(crm, home, mode, *records):
    crm.says(Said(200, {"data": [{"id": one} for one in records]}))
    return pulls.pull(source_at(crm.url, mode), Scope(DAY, DAY), Landing(home / "landing", "run-1"), print)["contacts"]


def test_what_changed_in_a_time_is_asked_for_again_without_losing_what_it_was(crm, home):
    assert pull(crm, home, "cursor", "ann", "bob").landed == 1
    # bob changed once more since, and stands in a later time now
    assert pull(crm, home, "cursor", "ann").landed == 1
    assert sorted(in_force(home)) == [1, 2]
    assert pull(crm, home, "cursor", "ann").landed == 0
    assert pull(crm, home, "cursor").landed == 0 and sorted(in_force(home)) == [1, 2]


@pytest.mark.parametrize("mode", ["range", "snapshot"])
def test_a_day_and_a_snapshot_replace_what_they_said_before(crm, home, mode):
    assert pull(crm, home, mode, "ann", "bob").landed == 1
    assert pull(crm, home, mode, "ann").landed == 1 and in_force(home) == [1]
    assert pull(crm, home, mode).landed == 1 and in_force(home) == [0]
    assert pull(crm, home, mode).landed == 0


def test_a_record_says_its_page_and_its_request(crm, home):
    pull(crm, home, "range", "ann")
    (one,) = landed(home / "landing", "crm", "contacts")
    (line,) = gzip.decompress(Path(one.manifest["files"][0]["path"]).read_bytes()).splitlines()
    told = json.loads(line)
    assert (told["_page"], told["_row"], told["_account"]) == (1, 1, "main") and len(told["_request_id"]) == 16
