"""What a SQL expression in a declaration may not ask for: the clock, chance, other rows. The same rows give the same answer on every day."""

from __future__ import annotations

import re

LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`", re.DOTALL)
# what Spark takes for the clock in a literal: date'today'
MOMENT = re.compile(r"\b(?:date|timestamp(?:_ntz|_ltz)?)\s*'\s*(?:now|today|tomorrow|yesterday)\b[^']*'", re.IGNORECASE)
WORD = re.compile(r"\b(?:current_date|current_time|current_timestamp|localtimestamp|current_user|session_user|select)\b", re.IGNORECASE)
CALL = re.compile(
    r"\b(?:(?:now|curdate|rand|randn|random|randstr|uuid|shuffle|user|monotonically_increasing_id|spark_partition_id|input_file_name)\s*\("
    r"|(?:unix_timestamp|current_timezone)\s*\(\s*\))",
    re.IGNORECASE,
)


def not_of_the_row(sql: str) -> str | None:
    """What keeps an expression from being used, as the end of a sentence about it; None where nothing does."""
    bare = LITERAL.sub("''", sql)
    found = MOMENT.search(sql) or WORD.search(bare) or CALL.search(bare)
    if found is None:
        return None
    asked = found.group().rstrip("( ")
    return f"asks for {asked}, but the same rows must give the same answer on every day: columns of the row are allowed, not the clock, chance or a query"
