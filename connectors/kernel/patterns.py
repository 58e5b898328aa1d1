"""Patterns of dropped files' names: which files are a stream's, of which day and slice each is, and which comes first.

{date} stands for YYYY-MM-DD and makes a file a slice of that day; {delivery} beside it for what tells a day's deliveries apart; * and ?
work within a name, ** stands for folders.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from datetime import date

DAY = r"(?P<date>\d{4}-\d{2}-\d{2})"
DELIVERY = r"(?P<delivery>[^/]+?)"
WILD = re.compile(r"[*?]|\{date\}|\{delivery\}")
# What a folder's name can say with a ~ for each /; file systems end at 255 bytes
MAX_PLAIN_PATH = 200
PLAIN_PATH = r"[A-Za-z0-9-][A-Za-z0-9._/-]*"


def is_pattern(value: object) -> bool:
    """Whether a value is a pattern that glob and as_regex take alike."""
    if not isinstance(value, str) or value.count("{delivery}") > 1 or set(re.findall(r"\{[^/]*?\}", value)) - {"{date}", "{delivery}"}:
        return False
    folders = value.split("/")
    return not {"", ".", ".."} & set(folders) and folders[-1] != "**" and all(one == "**" or "**" not in one for one in folders)


def as_regex(pattern: str) -> str:
    """The pattern of relative paths, or of names, as a regular expression with the groups date and delivery."""
    parts, seen = [], False
    for piece in re.split(r"(\{date\}|\{delivery\}|\*\*/|\*|\?)", pattern):
        if piece == "{date}":
            parts.append(r"(?P=date)" if seen else DAY)
            seen = True
        else:
            known = {"{delivery}": DELIVERY, "**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
            parts.append(known.get(piece) or re.escape(piece))
    return "".join(parts)


def slice_of(patterns: Sequence[str], pattern: str, relative: str, match: re.Match[str]) -> tuple[str, date | None]:
    """The slice's id, another one for every path unless a later delivery restates an earlier one, and its day.

    patterns: all of the stream's, the first first; pattern: the one that the path, relative to the stream's folder, matches.
    Raises ValueError where the path's date is no day.
    """
    text, dated = match.groupdict().get("date"), [one for one in patterns if "{date}" in one]
    if text is None:
        # beside slices of days, a path that begins with a day could be taken for one of theirs
        return _folder_name(relative, is_plain=not (dated and re.match(DAY, relative))), None
    day = date.fromisoformat(text)
    # Several files of a day are several slices, unless the later one is declared to restate the earlier, packed or not.
    suffix = ".gz" if "{delivery}" in pattern else ""
    first = next((one for one in dated if not set("*?") & set(one)), "")
    if pattern.removesuffix(suffix) == first.removesuffix(suffix):
        return text, day
    start, end = match.span("delivery") if "{delivery}" in pattern else (0, 0)
    return f"{text}~{_folder_name((relative[:start] + relative[end:]).removesuffix(suffix))}", day


def _folder_name(relative: str, is_plain: bool = True) -> str:
    """A path as the name of one folder: a/b.csv is a~b.csv; a path of other signs gets some digits of its sha256, so that no two share one."""
    # Spark hides folders that begin with _ or . and reads k=v as a partition.
    name = re.sub(r"[^A-Za-z0-9._-]+|^[._]+", "~", relative)
    if is_plain and len(name) <= MAX_PLAIN_PATH and re.fullmatch(PLAIN_PATH, relative):
        return name
    return f"{name[:MAX_PLAIN_PATH]}~{hashlib.sha256(os.fsencode(relative)).hexdigest()[:12]}"


def in_order(name: str) -> list[tuple[int, str]]:
    """A name as what it is sorted by: numbers in it as numbers, so that 9 comes before 10."""
    return [(int(one), "") if one.isdecimal() else (-1, one) for one in re.split(r"([0-9]+)", name)]
