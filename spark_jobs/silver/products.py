"""silver.products: every version of a vendor's product, with the interval in which it held.

The whole history of the source is given at once, so that intervals have no gap and no overlap. Deliveries that change nothing are
duplicates of the version they repeat.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from spark_jobs.functions.dates import versions_of
from spark_jobs.job import Job

KEY = ["source", "product_id"]
ATTRIBUTES = ["product_name", "category", "brand", "unit_amount", "currency", "is_active", "attributes"]


def version_products(mapped: DataFrame) -> DataFrame:
    """One row per delivered product, with valid_from and valid_to (null = current)."""
    return versions_of(mapped, KEY, ATTRIBUTES)


JOB = Job(table="silver.products", inputs={"mapped": "mapped:silver.products"}, transform=version_products)
