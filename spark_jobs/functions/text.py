"""Text as people and tools leave it: blanks that are no U+0020, and numbers that became floats on their way."""

from __future__ import annotations

from pyspark.sql import Column, functions as F

# Unicode's White_Space, and what shows as nothing: zero-width spaces and joiners, the word joiner, the byte order mark
BLANKS = (
    "\t\n\v\f\r \x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)

LONGEST_NUMBER = 100


def stripped(text: Column) -> Column:
    """The text without blanks of any kind at its ends."""
    return F.trim(text, F.lit(BLANKS))


def stripped_sql(expression: str) -> str:
    """SQL of the expression's text without blanks of any kind at its ends."""
    return f"trim(both '{BLANKS}' from cast({expression} as string))"


def number_sql(expression: str) -> str:
    """SQL of the expression, null where its text is no number of a size that a decimal has: a cast of others takes hours, or ends the query."""
    text = f"try_cast(({expression}) as string)"
    return f"case when length({text}) <= {LONGEST_NUMBER} and not {text} rlike '[eE][+-]?0*[1-9][0-9]{{2}}' then ({expression}) end"


def whole_number_sql(text: str) -> str:
    """SQL of an identifier's text, in plain digits where a whole number became a float: 1200.0 (pandas), 1.2345678E7 (Java)."""
    exact = f"try_cast({text} as decimal(38,6))"
    return (
        f"case when {text} rlike '^[0-9]+[.]0+$' then substring_index({text}, '.', 1) "
        f"when {text} rlike '^[0-9][.][0-9]{{1,40}}[eE][+]?[0-9]{{1,2}}$' and {exact} = floor({exact}) then cast(cast({exact} as decimal(32,0)) as string) "
        f"else {text} end"
    )
