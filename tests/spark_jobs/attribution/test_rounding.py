"""Shares of a whole that add up to it, whatever its size."""

from fractions import Fraction

import pytest

from spark_jobs.attribution.rounding import largest_remainder

HUGE = 10**19 - 1


@pytest.fixture
def shared(spark):
    """shared(total, weights): the parts in order of the weights."""

    def parts(total: int, weights: list[float]) -> list[int]:
        rows = spark.createDataFrame([("g", i, w, str(total)) for i, w in enumerate(weights)], "g STRING, i INT, w DOUBLE, t STRING")
        found = largest_remainder(rows.selectExpr("g", "i", "w", "cast(t as decimal(20,0)) as t"), "t", "w", ["g"], ["i"], "part").collect()
        return [int(r["part"]) for r in sorted(found, key=lambda r: r["i"])]

    return parts


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        (100, [0.5, 0.3, 0.2], [50, 30, 20]),
        (10**10, [0.7, 0.2, 0.1], [7 * 10**9, 2 * 10**9, 10**9]),
        (-5_000, [0.4, 0.2, 0.4], [-2_000, -1_000, -2_000]),
        (0, [0.5, 0.5], [0, 0]),
        (1, [0.6, 0.4], [1, 0]),
        (HUGE, [1.0], [HUGE]),
    ],
)
def test_parts_that_are_whole_numbers_are_exact(shared, total, weights, expected):
    assert shared(total, weights) == expected


@pytest.mark.parametrize("total", [1, 7, 99, 10**10, 10**15 + 1, 123_456_789_012_345_678, HUGE, -HUGE])
@pytest.mark.parametrize("count", [3, 7, 60])
def test_any_parts_add_up_and_none_is_further_from_its_share_than_its_weight_is_exact(shared, total, count):
    weights = [(i + 1) / (count * (count + 1) / 2) for i in range(count)]
    parts = shared(total, weights)
    assert sum(parts) == total
    ideal = [Fraction(total) * Fraction(w) for w in weights]
    assert all(abs(part - share) <= 1 + abs(total) * Fraction(1, 10**16) for part, share in zip(parts, ideal, strict=True))
