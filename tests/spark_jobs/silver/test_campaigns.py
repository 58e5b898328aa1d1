"""silver.campaigns: rows in, rows out, both written by hand."""

import datetime as dt

from spark_jobs.silver.campaigns import version_campaigns


def at(day):
    return dt.datetime(2026, 1, day)


def versions(mapped, *rows):
    given = [dict(campaign_id="x1", valid_from=at(1), campaign_name="a") | row for row in rows]
    found = version_campaigns(mapped("silver.campaigns", given)).orderBy("_source_row").collect()
    return [(row["valid_from"], row["valid_to"]) for row in found]


def test_a_change_ends_the_version_before(mapped):
    assert versions(mapped, {}, {"valid_from": at(5), "campaign_name": "b"}) == [(at(1), at(5)), (at(5), None)]


def test_a_delivery_without_a_change_repeats_the_version(mapped):
    assert versions(mapped, {}, {"valid_from": at(5)}) == [(at(1), None)] * 2


def test_the_same_id_of_another_source_is_another_campaign(mapped):
    assert versions(mapped, {}, {"source": "crm", "valid_from": at(5), "campaign_name": "b"}) == [(at(1), None), (at(5), None)]


def test_without_a_vendor_time_the_extraction_counts(mapped):
    assert versions(mapped, {"valid_from": None}) == [(at(20), None)]


def test_a_campaign_s_name_and_attributes_name_nobody(scrubbed):
    said = dict(campaign_id="x1", valid_from=at(1), campaign_name="to ann@mail.example", attributes='{"owner_email":"x","n":1}')
    found = version_campaigns(scrubbed("silver.campaigns", [said])).first()
    assert (found["campaign_name"], found["attributes"]) == ("to [email]", '{"owner_email":null,"n":1}')
