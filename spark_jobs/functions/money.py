"""Amounts: products and conversions that never leave DECIMAL and are rounded once, half up, to their currency's minor unit."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, functions as F

from conf.settings import rules

# an amount in its own currency; four decimals are the most that ISO 4217 knows
OWN, REPORTING = "decimal(18,4)", "decimal(18,2)"
MOST_DECIMALS, REPORTING_DECIMALS = 4, 2
# Amounts and counts lie below it, or their row is set aside; what is computed of them and does not fit its type is this, to be set aside as well
LIMIT = 10**12


def limited(amount: Column, limit: int = LIMIT) -> Column:
    """The amount, or the limit with its sign where it lies beyond: a cast to a narrower type then never fails."""
    bound = F.lit(limit).cast(f"decimal({len(str(limit))},0)")
    return F.when(amount >= bound, bound).when(amount <= -bound, -bound).otherwise(amount)


def by_decimals(currency: Column, value_of: Callable[[int], Column]) -> Column:
    """What value_of makes of the number of decimals that the row's currency has (ISO 4217, conf/rules/currencies.yml)."""
    declared = rules("currencies")
    found = value_of(declared["default"])
    for decimals, currencies in sorted(declared["decimals"].items()):
        found = F.when(currency.isin(*currencies), value_of(int(decimals))).otherwise(found)
    return found


def rounded(amount: Column, currency: Column) -> Column:
    """The exact amount as OWN, half up to the decimals of its currency."""
    return by_decimals(currency, lambda decimals: limited(F.round(amount, decimals)).cast(OWN))


def amount_of(quantity: Column, unit_amount: Column, currency: Column | None = None) -> Column:
    """quantity × unit_amount as OWN, as an invoice in that currency (by default one with two decimals) rounds a line."""
    return rounded(quantity.cast("decimal(18,3)") * unit_amount.cast(OWN), F.lit("") if currency is None else currency)


def rates_of(fx_rates: DataFrame, currency: str, day: str, rate: str) -> DataFrame:
    """fx_rates as (day, currency, rate) under these names, to be joined on the first two."""
    return fx_rates.select(
        F.col("rate_date").alias(day), F.col("currency").alias(currency), F.col("rate").cast("decimal(18,8)").alias(rate)
    )


def with_rate(rows: DataFrame, fx_rates: DataFrame, on_date: str, reporting_currency: str, currency: str = "currency") -> DataFrame:
    """The rows with `_rate` DECIMAL(18,8): one of `currency` in the reporting currency on the day `on_date`; 1 for that currency itself.

    rows: any grain, with columns `on_date` (DATE) and `currency` (ISO 4217). fx_rates: silver.fx_rates, one row per (rate_date, currency).
    Where a rate is missing it is null, never a guess.
    """
    rates = rates_of(fx_rates, "_rate_currency", "_rate_date", "_found_rate")
    is_priced = (F.col(on_date) == F.col("_rate_date")) & (F.col(currency) == F.col("_rate_currency"))
    rate = F.when(F.col(currency) == reporting_currency, F.lit(1).cast("decimal(18,8)")).otherwise(F.col("_found_rate"))
    joined = rows.join(F.broadcast(rates), on=is_priced, how="left").withColumn("_rate", rate)
    return joined.drop("_rate_date", "_rate_currency", "_found_rate")


def converted(amount: Column, kind: str = REPORTING, decimals: int = REPORTING_DECIMALS) -> Column:
    """The amount at the row's `_rate`, rounded once: the product of 18 by 18 digits is exact."""
    return limited(F.round(amount * F.col("_rate"), decimals)).cast(kind)


def to_reporting_currency(rows: DataFrame, fx_rates: DataFrame, amount: str, on_date: str, reporting_currency: str) -> DataFrame:
    """The rows with `reporting_amount` REPORTING: `amount` in the reporting currency at the rate of the day `on_date`; null without a rate."""
    priced = with_rate(rows, fx_rates, on_date, reporting_currency)
    return priced.withColumn("reporting_amount", converted(F.col(amount))).drop("_rate")


def part_of(amount: Column, part: Column, whole: Column) -> Column:
    """amount × part / whole, half up to a whole number, exactly, at most 10^17; null where whole is 0. Whole numbers: amount and part below
    10^18, whole below 10^22."""
    numbers = [amount.cast("decimal(18,0)"), part.cast("decimal(18,0)"), whole.cast("decimal(22,0)")]
    product, divisor = F.abs(numbers[0] * numbers[1]).cast("decimal(38,0)"), F.nullif(F.abs(numbers[2]), F.lit(0))
    # a quotient has few decimals and would be rounded twice; the remainder is exact
    rest = product % divisor
    found = limited((product - rest) / divisor, 10**17).cast("decimal(20,0)") + F.when(rest * 2 >= divisor, 1).otherwise(0)
    found = limited(found, 10**17)
    is_negative = (F.signum(numbers[0]) * F.signum(numbers[1]) * F.signum(numbers[2])) < 0
    return F.when(is_negative, -found).otherwise(found).cast("decimal(20,0)")


def finest(amount: Column) -> Column:
    """An amount in units of 0.0001, a whole number."""
    return (amount.cast(OWN) * 10**MOST_DECIMALS).cast("decimal(18,0)")


def minor_unit(currency: Column) -> Column:
    """How many 0.0001 the minor unit of a currency has: 100 of GBP, 10 of KWD."""
    return by_decimals(currency, lambda decimals: F.lit(10 ** (MOST_DECIMALS - decimals)))


def net_of_refund(refunded: Column, net: Column, paid: Column, currency: Column) -> Column:
    """What of an order's net amount is taken back when so much of what was paid for it is, as OWN in its currency.

    A refund is of what was paid, with tax and shipping; revenue is without them. So it takes back the same share of the net amount, and all
    of it when all that was paid comes back. Null where nothing was paid.
    """
    unit = minor_unit(currency)
    units = part_of(finest(net), finest(refunded), finest(paid) * unit) * unit
    share = (limited(units, LIMIT * 10**MOST_DECIMALS).cast("decimal(18,0)") * F.lit("0.0001").cast("decimal(4,4)")).cast(OWN)
    return F.when(paid == 0, F.lit(None).cast(OWN)).when(paid == net, refunded).when(refunded == paid, net).otherwise(share)


def in_order_currency(refunds: DataFrame, fx_rates: DataFrame, reporting_currency: str) -> DataFrame:
    """The refunds with `order_amount` OWN: their amount in the currency of their order at the rates of its day; null where one is missing.

    refunds: with amount, currency, order_currency and order_date (null where the order is unknown).
    """
    rows = with_rate(refunds, fx_rates, "order_date", reporting_currency).withColumnRenamed("_rate", "_refund_rate")
    rows = with_rate(rows, fx_rates, "order_date", reporting_currency, "order_currency")
    foreign = rounded(F.try_divide(F.col("amount").cast(OWN) * F.col("_refund_rate"), F.col("_rate")), F.col("order_currency"))
    is_of_order = F.coalesce(F.col("currency") == F.col("order_currency"), F.col("currency").isNull())
    found = F.when(is_of_order, F.col("amount").cast(OWN)).otherwise(foreign)
    return rows.withColumn("order_amount", found).drop("_refund_rate", "_rate")
