"""Who may write a table."""

import socket

import pytest

from spark_jobs.engine.claims import Claims, own_holder, release_all
from spark_jobs.errors import ClaimHeldError
from spark_jobs.io.lake import Lake


@pytest.fixture
def lake(spark, tmp_path):
    return Lake(spark, str(tmp_path / "lake"))


def test_a_second_holder_is_refused_until_the_first_gives_back(lake):
    first = Claims(lake, "run-1")
    assert first.acquire(["silver.orders/shop", "silver.events/site"])["silver.orders/shop"].generation == 1
    with pytest.raises(ClaimHeldError, match="being written by run-1"):
        Claims(lake, "run-2").acquire(["silver.orders/shop"])
    first.release()
    assert Claims(lake, "run-2").acquire(["silver.orders/shop"])["silver.orders/shop"].generation == 2


def test_a_retry_of_the_same_holder_takes_over_with_a_higher_generation(lake):
    Claims(lake, own_holder("dag/run/task")).acquire(["silver.orders/shop"])
    assert Claims(lake, "dag/run/task@elsewhere/7").acquire(["silver.orders/shop"])["silver.orders/shop"].generation == 2


def test_what_is_ended_in_the_middle_gives_back_what_it_holds(lake):
    Claims(lake, "run-1").acquire(["silver.orders/shop"])
    release_all()
    assert Claims(lake, "run-2").acquire(["silver.orders/shop"])["silver.orders/shop"].generation == 2


@pytest.mark.parametrize("task", ["", "dag/run/task@"])
def test_a_dead_process_of_this_machine_holds_nothing(lake, task):
    dead = f"{task}{socket.gethostname()}/{2**22 + 1}"
    Claims(lake, dead).acquire(["silver.orders/shop"])
    assert Claims(lake, own_holder()).acquire(["silver.orders/shop"])["silver.orders/shop"].generation == 2
