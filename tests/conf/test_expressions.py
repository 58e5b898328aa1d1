"""SQL in declarations asks for nothing but the row: the same rows give the same answer on every day."""

import pytest

from conf.expressions import not_of_the_row


@pytest.mark.parametrize(
    ("sql", "asked"),
    [
        ("last_order_date > current_date() - 30", "current_date"),
        ("last_order_date > CURRENT_DATE - 30", "CURRENT_DATE"),
        ("seen_at < now()", "now"),
        ("seen_at < localtimestamp", "localtimestamp"),
        ("seen_at < date'today'", "date'today'"),
        ("seen_at < timestamp 'now'", "timestamp 'now'"),
        ("unix_timestamp() - unix_timestamp(seen_at) > 5", "unix_timestamp"),
        ("rand() < 0.5", "rand"),
        ("coalesce(id, uuid())", "uuid"),
        ("orders > (select max(orders) from people)", "select"),
    ],
)
def test_what_asks_for_more_than_the_row_is_named(sql, asked):
    assert f"asks for {asked}" in (not_of_the_row(sql) or "")


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "orders >= 3",
        "channel = 'now()' or `current_date` = \"uuid()\"",
        "unix_timestamp(seen_at) > 5",
        "selected and branded and random_group = 1 and nowhere",
        "seen_at < timestamp'2026-01-01 00:00:00'",
        "user_id = 'x' and user = 'y'",
        "properties['it\\'s'] = 'select'",
    ],
)
def test_what_asks_for_the_row_alone_is_right(sql):
    assert not_of_the_row(sql) is None
