"""A budget is kept by all processes of a machine together, whatever becomes of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from conf.settings import REPOSITORY
from connectors.kernel.budgets import Budget, Limit
from connectors.kernel.errors import RateLimitedError


class Clock:
    """A clock that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def budget(tmp_path, clock: Clock, *limits: Limit, name: str = "shop/main/events") -> Budget:
    return Budget(name, limits, tmp_path / "budgets.sqlite", clock, clock.sleep)


def test_no_window_has_more_calls_than_its_limit_and_nearly_all_are_used(tmp_path):
    clock = Clock()
    begun, times = clock.now, []
    made = budget(tmp_path, clock, Limit(20, 1.0), Limit(100, 10.0))
    for _ in range(300):
        made.take(60)
        times.append(clock.now)
    for limit in made.limits:
        most = max(sum(one <= other < one + limit.seconds for other in times) for one in times)
        assert 0.9 * limit.calls <= most <= limit.calls
    # 95 in ten seconds
    assert 300 / 95 * 10 - 15 < clock.now - begun < 300 / 95 * 10 + 5


def test_a_wait_that_is_too_long_is_said_at_once(tmp_path):
    clock = Clock()
    made = budget(tmp_path, clock, Limit(1, 86400.0))
    made.take(5)
    with pytest.raises(RateLimitedError, match="shop/main/events: its budget lets the next call through in 86400 s") as error:
        made.take(5)
    assert error.value.retry_after == 86400 and clock.now == 1_000_000 and made.used() == ((Limit(1, 86400.0), 1),)


def test_budgets_are_counted_apart_and_a_pause_is_everybody_s_until_it_ends(tmp_path):
    clock = Clock()
    first, same, other = (budget(tmp_path, clock, Limit(9, 1.0), name=name) for name in ("a/b/c", "a/b/c", "a/b/d"))
    first.pause(30)
    first.pause(10)
    assert same.paused_until() == 1_000_030 and other.paused_until() is None
    assert other.take(0) == 0
    assert 30 <= same.take(60) < 31 and same.paused_until() is None


def test_a_budget_without_limits_only_pauses(tmp_path):
    clock = Clock()
    made = budget(tmp_path, clock)
    assert [made.take(0) for _ in range(5)] == [0] * 5
    made.pause(3)
    assert made.take(10) >= 3


TAKING = """
import sys, time
from pathlib import Path
from connectors.kernel.budgets import Budget, Limit
made = Budget("shop/main/events", (Limit(40, 2.0),), Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    made.take(60)
    print(time.time(), flush=True)
"""


def test_three_processes_at_once_keep_one_budget_and_a_kill_of_one_holds_nobody_up(tmp_path):
    words = [sys.executable, "-c", TAKING, str(tmp_path / "budgets.sqlite")]
    some = [subprocess.Popen([*words, n], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for n in ("40", "40", "1000")]
    time.sleep(1.5)
    os.kill(some[2].pid, signal.SIGKILL)
    times = sorted(float(line) for one in some for line in one.communicate()[0].splitlines())
    assert [one.returncode for one in some] == [0, 0, -9] and len(times) >= 80
    # a line is printed a little after its call was counted
    assert max(sum(one <= other < one + 1.8 for other in times) for one in times) <= 40


HOLDING = """
import sys, time
from pathlib import Path
from connectors.kernel.budgets import Budget
with Budget("mail/main/api", (), Path(sys.argv[1]), at_once=2).slot(60):
    print("held", flush=True)
    time.sleep(600)
"""


def test_no_more_calls_than_slots_are_made_at_once_and_a_kill_frees_its_slot(tmp_path):
    made = Budget("mail/main/api", (), tmp_path / "budgets.sqlite", at_once=2)
    words = [sys.executable, "-c", HOLDING, str(tmp_path / "budgets.sqlite")]
    other = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with made.slot(0):
            with pytest.raises(RateLimitedError, match="2 calls are under way"), made.slot(0.1):
                raise AssertionError("a third one was let in")
            os.kill(other.pid, signal.SIGKILL)
            other.wait()
            with made.slot(5):
                pass
        with made.slot(0), made.slot(0):
            pass
    finally:
        other.kill()
        other.communicate()
