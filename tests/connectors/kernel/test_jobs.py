"""Reports that a vendor makes while one waits: asked for once, found again after a kill, asked for again when the vendor gave one up."""

import dataclasses
import json

import pytest

from connectors.kernel.errors import TemporaryError
from connectors.kernel.jobs import MOST_JOBS, FailedJobError, Jobs


class Vendor:
    """submit makes r-1, r-2 …; poll says ready after `polls` looks, or raises for the reports in `failing`."""

    def __init__(self, polls=0, failing=()):
        self.made, self.polls, self.failing, self.looked = 0, polls, failing, []

    def submit(self):
        self.made += 1
        return f"r-{self.made}"

    def poll(self, job):
        self.looked.append(job)
        if job in self.failing:
            raise FailedJobError(f"{job} failed")
        return len(self.looked) > self.polls


@pytest.fixture
def jobs(tmp_path):
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    return Jobs("meta.insights (main)", tmp_path / "jobs" / "insights.json", 60.0, sleep, lambda: now[0])


def test_a_report_is_asked_for_once_and_waited_for(jobs):
    vendor = Vendor(polls=3)
    assert jobs.done("2026-11-20", vendor.submit, vendor.poll, print) == "r-1"
    assert vendor.made == 1 and vendor.looked == ["r-1"] * 4
    assert jobs.id_of("2026-11-20") == "r-1", "until its records are landed"
    jobs.done("2026-11-20/c-1", vendor.submit, vendor.poll, print)
    jobs.done("2026-11-20~2026-11-21", vendor.submit, vendor.poll, print)
    jobs.forget("2026-11-20")
    assert [jobs.id_of(name) for name in ("2026-11-20", "2026-11-20/c-1", "2026-11-20~2026-11-21")] == [None, None, "r-3"]


def test_whoever_comes_after_a_kill_waits_on_for_the_same_report(jobs):
    slow = Vendor(polls=10**9)
    with pytest.raises(TemporaryError, match="report r-1 of 2026-11-20 was not ready after 60 s; the next pull waits on"):
        jobs.done("2026-11-20", slow.submit, slow.poll, print)
    said, quick = [], Vendor()
    assert jobs.done("2026-11-20", quick.submit, quick.poll, said.append) == "r-1"
    assert quick.made == 0 and said == ["meta.insights (main): goes on waiting for report r-1 of 2026-11-20"]


def test_a_kill_between_the_wish_and_the_id_asks_again(jobs):
    class Killed(Exception):
        pass

    def killed():
        raise Killed

    with pytest.raises(Killed):
        jobs.done("2026-11-20", killed, Vendor().poll, print)
    assert json.loads(jobs.file.read_text())["2026-11-20"]["id"] is None
    vendor = Vendor()
    assert jobs.done("2026-11-20", vendor.submit, vendor.poll, print) == "r-1"


def test_a_report_that_the_vendor_gave_up_is_asked_for_again_a_few_times(jobs):
    vendor = Vendor(failing=("r-1", "r-2"))
    assert jobs.done("2026-11-20", vendor.submit, vendor.poll, print) == "r-3" and vendor.made == MOST_JOBS
    hopeless = Vendor(failing=("r-1", "r-2", "r-3", "r-4"))
    with pytest.raises(FailedJobError, match="r-3 failed"):
        jobs.done("2026-11-21", hopeless.submit, hopeless.poll, print)
    assert hopeless.made == MOST_JOBS and jobs.id_of("2026-11-21") is None and jobs.id_of("2026-11-20") == "r-3"


def test_a_report_that_is_too_old_to_be_true_is_asked_for_again(jobs):
    vendor = Vendor()
    jobs.done("2026-11-20", vendor.submit, vendor.poll, print)
    assert dataclasses.replace(jobs, fresh_seconds=3600).id_of("2026-11-20") == "r-1"
    old = dataclasses.replace(jobs, fresh_seconds=0)
    assert old.id_of("2026-11-20") is None and old.done("2026-11-20", vendor.submit, vendor.poll, print) == "r-2"
