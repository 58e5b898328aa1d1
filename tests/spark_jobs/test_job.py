"""What a job's declaration means."""

import pytest

from conf.tables import Append, Merge, Replace, ReplaceDays, Write
from spark_jobs.job import InRange, Job, Mapped, Self, Whole, date_of, jobs, parsed


def job(**inputs: str) -> Job:
    return Job(table="silver.refunds", inputs=inputs, transform=lambda **_: None)


def test_an_input_s_string_is_what_it_means():
    found = job(a="silver.events", b="silver.events@all", c="mapped:silver.refunds", d="self")
    assert list(found.reads.values()) == [
        InRange("silver.events"), Whole("silver.events"), Mapped("silver.refunds"), Self("silver.refunds"),
    ]  # fmt: skip
    assert (found.mapped, found.is_mapped(), found.upstream()) == ("c", True, ("silver.events",))
    assert [date_of(one) for one in found.reads.values()] == ["event_date", None, None, None]
    assert date_of(InRange("identity.persons")) is None


def test_an_input_that_means_nothing_is_refused():
    with pytest.raises(ValueError, match=r"silver\.refunds reads 'silver\.events@some'"):
        parsed("silver.events@some", "silver.refunds")


def test_every_job_s_inputs_mean_something_and_at_most_one_is_mapped():
    for one in jobs().values():
        assert sum(isinstance(read, Mapped) for read in one.reads.values()) == one.is_mapped()
        assert {read.table for read in one.reads.values() if isinstance(read, Mapped | Self)} <= {one.table}


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (Write("append"), Append()),
        (Write("snapshot"), Replace()),
        (Write("replace"), Replace()),
        (Write("replace", "day"), ReplaceDays("day")),
        (Write("merge"), Merge()),
        (Write("merge", "day", dedupe={"keep": "first", "by": ["at"]}), Merge("day", ("at",), True)),
    ],
)
def test_a_way_to_write_has_the_fields_that_it_needs(write, kind):
    assert write.kind == kind
