"""Expressions of conf/mappings that may fail on a row (a cast, a division, an index): tried, so that they cost that row and no other.

Spark has no general `try`. `try_to_binary` is null where its argument fails, whatever fails in it; so what an expression gives travels
through it as text, with NOTHING for null, and what is null after it has failed.
"""

from __future__ import annotations

import re

# of Unicode's private use
NOTHING = "\ue001"
LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
# What cannot fail on columns of text, whatever they hold; `try_…` cannot by itself
SURE = frozenset(
    [
        "and",
        "any",
        "array",
        "between",
        "btrim",
        "case",
        "coalesce",
        "concat",
        "concat_ws",
        "contains",
        "else",
        "end",
        "endswith",
        "false",
        "from_json",
        "if",
        "ifnull",
        "ilike",
        "in",
        "is",
        "isnotnull",
        "isnull",
        "like",
        "lower",
        "ltrim",
        "map_keys",
        "named_struct",
        "not",
        "null",
        "nullif",
        "nvl",
        "or",
        "regexp",
        "regexp_replace",
        "replace",
        "reverse",
        "rlike",
        "rtrim",
        "startswith",
        "struct",
        "then",
        "to_json",
        "translate",
        "trim",
        "true",
        "upper",
        "when",
    ]
)
PLAIN = ("string", "boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "date", "timestamp", "timestamp_ntz")
CALL = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(")
# arithmetic, an index, a cast, a lambda, a number, and comparisons with anything but a text
RISK = re.compile(r"[-+*/%\[{]|::|\d|[<>=!]+(?!\s*[<>=!]*\s*'')|\bin\s*\((?!\s*'')|\bbetween\b", re.IGNORECASE)
NAME = re.compile(r"(?!(?:in|between)\b)\b[A-Za-z_][A-Za-z0-9_]*", re.IGNORECASE)


def can_fail(expression: str) -> bool:
    """Whether a SQL expression over the columns of a record could fail on some record; true where that is not plain."""
    bare = LITERAL.sub("''", expression)
    calls = {name.lower() for name in CALL.findall(bare)}
    return bool(RISK.search(NAME.sub("x", bare))) or any(name not in SURE and not name.startswith("try_") for name in calls)


def tried(expression: str, kind: str) -> str:
    """SQL: what the expression, of that type, gives as text; NOTHING where that is null, and null where it fails."""
    text = f"to_json({expression})" if is_nested(kind) else f"cast(({expression}) as string)"
    # what several expressions share is computed before all of them, outside of any attempt, unless it stands under a condition
    guarded = f"if(_row >= 0, coalesce({text}, '{NOTHING}'), null)"
    return f"decode(try_to_binary({guarded}, 'utf-8'), 'utf-8')"


def value_of(attempt: str, kind: str) -> str:
    """SQL: the value of an attempt's column, in the type that the expression had; null where it failed."""
    text = f"nullif({attempt}, '{NOTHING}')"
    return f"from_json({text}, '{kind}')" if is_nested(kind) else f"try_cast({text} as {kind})"


def is_carried(kind: str) -> bool:
    """Whether values of the type travel as text and come back as they were."""
    return is_nested(kind) or kind.lower().partition("(")[0] in PLAIN


def is_nested(kind: str) -> bool:
    """Whether values of the type have no text that a cast reads back."""
    return kind.lower().startswith(("array", "map", "struct"))
