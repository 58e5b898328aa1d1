"""Amounts: products and conversions that never leave DECIMAL."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, functions as F


def amount_of(quantity: Column, unit_amount: Column) -> Column:
    """quantity × unit_amount as DECIMAL(18,2), half up, as an invoice rounds a line."""
    exact = quantity.cast("decimal(18,3)") * unit_amount.cast("decimal(18,4)")
    return F.round(exact, 2).cast("decimal(18,2)")


def to_reporting_currency(rows: DataFrame, fx_rates: DataFrame, amount: str, on_date: str, reporting_currency: str) -> DataFrame:
    """The rows with `reporting_amount` DECIMAL(18,2): `amount` in the reporting currency at the rate of the day `on_date`.

    rows: any grain, with columns `amount`, `on_date` (DATE) and `currency` (ISO 4217).
    fx_rates: silver.fx_rates, one row per (rate_date, currency).
    Only the reporting currency itself needs no rate; where a rate is missing the amount is null, never a guess.
    """
    rates = fx_rates.select(F.col("rate_date").alias("_rate_date"), F.col("currency").alias("_rate_currency"), F.col("rate").alias("_rate"))
    priced = rows.join(
        F.broadcast(rates), on=(F.col(on_date) == F.col("_rate_date")) & (F.col("currency") == F.col("_rate_currency")), how="left"
    )
    converted = F.when(F.col("currency") == reporting_currency, F.col(amount).cast("decimal(18,6)")).otherwise(
        (F.col(amount).cast("decimal(18,6)") * F.col("_rate")).cast("decimal(28,8)")
    )
    return priced.withColumn("reporting_amount", F.round(converted, 2).cast("decimal(18,2)")).drop("_rate_date", "_rate_currency", "_rate")
