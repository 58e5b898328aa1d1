"""Tables built at once, each after what it reads, none after an error."""

import threading

import pytest

from spark_jobs.engine.waves import AT_ONCE, in_waves

READS = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}


def named(item):
    name = item.split("/")[0]
    return name, READS[name]


def test_an_item_begins_after_every_item_of_the_tables_it_reads():
    begun, ended, lock = [], [], threading.Lock()

    def build(item):
        with lock:
            begun.append(item)
            missing = {p for p in plan if named(p)[0] in named(item)[1]} - set(ended)
        assert not missing
        with lock:
            ended.append(item)

    plan = ["a/x", "a/y", "b", "c", "d", "e"]
    in_waves(plan, named, build)
    assert sorted(ended) == sorted(plan)


def test_tables_that_read_nothing_of_each_other_are_built_together():
    meeting = threading.Barrier(AT_ONCE, timeout=10)
    in_waves(["a/x", "e"], named, lambda item: meeting.wait() and None)
    assert not meeting.broken


def test_after_an_error_what_runs_ends_and_nothing_new_begins():
    begun, ended, failed = [], [], threading.Event()

    def build(item):
        begun.append(item)
        if item == "a":
            failed.set()
            raise ValueError("no a")
        assert failed.wait(10)
        ended.append(item)

    with pytest.raises(ValueError, match="no a"):
        in_waves(["a", "e", "b"], named, build)
    assert (sorted(begun), ended) == (["a", "e"], ["e"])
