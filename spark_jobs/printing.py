"""Tables and lines for people: nothing that stands in the data is read as markup, and nothing is cut."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conf.printing import shown

# piped output has no width of its own: wide enough for the tables
PIPED_WIDTH = 132


def console() -> Console:
    """The terminal, or what stdout is piped to; what is in square brackets or between colons is text."""
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True, width=None if has_width else PIPED_WIDTH)


def listing(*columns: str, numbers: tuple[str, ...] = (), title: str = "", framed: bool = True) -> Table:
    """An empty table; numbers: the columns that are aligned right and never broken, the others go on in the next line where they are too long."""
    look = {"box": box.HEAVY_HEAD} if framed else {"box": None, "pad_edge": False}
    table = Table(title=title or None, title_justify="left", **look)  # type: ignore[arg-type]
    for name in columns:
        is_number = name in numbers
        table.add_column(name, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    return table


def cell(value: object, style: str = "") -> Text:
    """One cell or line, shown harmlessly; None is empty."""
    return Text("" if value is None else shown(value), style=style)


def say_plan(note: str, facts: Mapping[str, Any]) -> None:
    """A plan as Markdown, and with its facts as JSON in the last line, for the task whose run it is the note of."""
    print(note)
    print(json.dumps({**facts, "note": note}), flush=True)
