"""What others wrote, as a terminal or a log may show it."""

from __future__ import annotations

import unicodedata


def shown(text: object, lines: bool = False) -> str:
    """The text with nothing in it that a terminal obeys: control characters, escape sequences, line breaks (unless `lines`), marks that turn
    the direction of writing and bytes that are no text stand there as their codes; letters of every script and blanks stay."""
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" or (lines and c == "\n") else _code(c) for c in str(text))


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
