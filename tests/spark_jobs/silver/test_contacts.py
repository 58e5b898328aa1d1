"""silver.contacts: rows in, rows out, both written by hand."""

import datetime as dt

from spark_jobs.silver.contacts import version_contacts


def at(day):
    return dt.datetime(2026, 1, day)


def versions(mapped, *rows):
    given = [dict(contact_id="x1", valid_from=at(1), lifecycle_stage="a") | row for row in rows]
    found = version_contacts(mapped("silver.contacts", given)).orderBy("_source_row").collect()
    return [(row["valid_from"], row["valid_to"]) for row in found]


def test_a_change_ends_the_version_before(mapped):
    assert versions(mapped, {}, {"valid_from": at(5), "lifecycle_stage": "b"}) == [(at(1), at(5)), (at(5), None)]


def test_a_delivery_without_a_change_repeats_the_version(mapped):
    assert versions(mapped, {}, {"valid_from": at(5)}) == [(at(1), None)] * 2


def test_the_same_id_of_another_source_is_another_contact(mapped):
    assert versions(mapped, {}, {"source": "crm", "valid_from": at(5), "lifecycle_stage": "b"}) == [(at(1), None), (at(5), None)]


def test_without_a_vendor_time_the_extraction_counts(mapped):
    assert versions(mapped, {"valid_from": None}) == [(at(20), None)]


def test_what_else_the_vendor_says_names_nobody(scrubbed):
    said = dict(contact_id="x1", valid_from=at(1), attributes='{"plan":"pro","phones":["07700"],"note":"is ann@mail.example","score":1.10}')
    found = version_contacts(scrubbed("silver.contacts", [said])).first()
    assert found["attributes"] == '{"plan":"pro","phones":null,"note":"is [email]","score":1.10}'
