"""identifier_key and the namespaces it is made of."""

import hashlib
import hmac

import pytest
from pyspark.sql import functions as F

from spark_jobs.functions.identifiers import identifier_key, normalised, pads, scoped

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
