"""identifier_key and the namespaces it is made of."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings, strategies as st
from pyspark.sql import functions as F

from conf.settings import rules
from spark_jobs.functions.identifiers import (
    PLAIN_EMAIL,
    email_address,
    identifier_key,
    normalised,
    pads,
    phone_number,
    read_by_library,
    scoped,
)

NAMESPACES = {"email": {"scope": "global"}, "customer_id": {"scope": "source"}}
KEY = bytes(range(32))


def test_the_key_equals_the_standard_library_s_hmac(spark):
    inner, outer = pads(KEY)
    rows = spark.createDataFrame(
        [("email", "ada@example.org"), ("shop.customer_id", "17850"), ("email", "zoë@example.org")], "n STRING, v STRING"
    )
    keyed = rows.withColumns({"_inner_pad": F.lit(inner), "_outer_pad": F.lit(outer)}).select(
        "n", "v", identifier_key(F.col("n"), F.col("v")).alias("k")
    )
    for row in keyed.collect():
        assert row.k == hmac.new(KEY, f"{row.n}\x1f{row.v}".encode(), hashlib.sha256).hexdigest()[:32]


def test_a_global_namespace_means_the_same_everywhere_and_others_belong_to_their_source():
    assert scoped("email", "shop", NAMESPACES) == "email"
    assert scoped("customer_id", "shop", NAMESPACES) == "shop.customer_id"


def test_an_undeclared_namespace_is_named_with_what_is_declared():
    with pytest.raises(ValueError, match=r"cookie.*customer_id.*email"):
        scoped("cookie", "shop", NAMESPACES)


@pytest.mark.parametrize(
    ("value", "kept"),
    [("  Ada@Example.org ", "ada@example.org"), ("TEST@test.com", None), ("", None), ("0000", None), (None, None)],
)
def test_values_are_normalised_and_placeholders_vanish(spark, value, kept):
    rule = {"normalise": "lower(trim(value))", "block": {"values": ["test@test.com"], "patterns": ["^[0-]*$"]}}
    row = spark.createDataFrame([(value,)], "v STRING").select(F.expr(normalised("v", rule)).alias("n")).first()
    assert row.n == kept


LONDON = "+442079460958"
PHONES = [
    ("+44 20 7946 0958", None, LONDON),
    ("0044 20 7946 0958", None, LONDON),
    ("+44 (0)20 7946 0958", None, LONDON),
    ("+44 20 7946 0958 ext. 12", None, LONDON),
    ("tel:+44-20-7946-0958", None, LONDON),
    ("\uff0b44 20 7946 0958", None, LONDON),
    ("+44\u00a020\u00a07946\u00a00958", None, LONDON),
    ("020 7946 0958", "GB", LONDON),
    ("020 7946 0958", "gb ", LONDON),
    ("0044 20 7946 0958", "US", LONDON),
    ("020 7946 0958", None, None),
    ("020 7946 0958", "United Kingdom", None),
    ("+49 (0)30 901820", None, "+4930901820"),
    ("+49 30 901820", "GB", "+4930901820"),
    ("12345", "GB", None),
    ("call me", None, None),
]


@pytest.mark.parametrize(("text", "country", "number"), PHONES)
def test_a_phone_number_has_one_form_or_is_none(text, country, number):
    assert phone_number(text, country) == number


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Ada@Example.org", "ada@example.org"),
        ("mailto:ada@example.org", "ada@example.org"),
        ("Ada Byron <ada@example.org>", "ada@example.org"),
        ("ada@b\u00fccher.example", "ada@b\u00fccher.example"),
        ("ada@xn--bcher-kva.example", "ada@b\u00fccher.example"),
        ("ada@corp.local", "ada@corp.local"),
        ("ada@@example.org", None),
        ("ada..b@example.org", None),
        ("ada", None),
        ("ada@example.org, bob@example.org", None),
    ],
)
def test_an_email_address_has_one_form_or_is_none(text, address):
    assert email_address(text) == address


def test_identifiers_are_read_by_their_libraries_and_null_stays_null(spark):
    rows = spark.createDataFrame([("Ada@Example.org", LONDON, None), ("plain@example.org", "020 7946 0958", "GB"), (None, None, "GB")],
                                 "e STRING, p STRING, c STRING")  # fmt: skip
    found = rows.select(read_by_library("email", F.col("e"), F.col("c")), read_by_library("phone", F.col("p"), F.col("c"))).collect()
    assert [tuple(row) for row in found] == [("ada@example.org", LONDON), ("plain@example.org", LONDON), (None, None)]


@settings(max_examples=300, deadline=None, database=None)
@given(st.from_regex(PLAIN_EMAIL.removesuffix("$") + r"\Z"))
def test_an_address_that_is_not_shown_to_the_library_would_come_back_as_it_is(text):
    assert email_address(text) == text


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("1200.0", "1200"), ("1200", "1200"), ("12345678.00", "12345678"), ("1.2345678E7", "12345678"), ("1.2345678e+7", "12345678"),
        ("v1.0", "v1.0"), ("1200.5", "1200.5"), ("12e5", "12e5"), ("0012", "0012"), ("\ufeff\tA7\u00a0\n", "A7"),
    ],
)  # fmt: skip
def test_a_whole_number_that_became_a_float_is_the_number(spark, value, kept):
    rows = spark.createDataFrame([(value,)], "v STRING")
    for namespace in ("user_id", "crm_id", "device_id", "customer_id"):
        assert rows.select(F.expr(normalised("v", rules("identity")["namespaces"][namespace]))).first()[0] == (
            kept.lower() if namespace == "device_id" else kept
        )
