"""Which of the files that were delivered are landed: each content once, a changed file as the slice's next attempt.

A file is compared with what is in force: the newest attempt of each slice. A new slice that holds what another one in force holds is a
copy and is not landed; when that other one is replaced, the copy's turn comes, of whichever day it is. What has no records has no copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from conf import settings
from connectors.kernel.connector import Counts, Say
from connectors.kernel.drops import Folder
from connectors.kernel.errors import ChangedFileError, UnreadableFileError
from connectors.kernel.landing import Landed, newest_of, next_instant
from connectors.kernel.patterns import in_order

# How often a file that is being written is landed anew in one pull
TRIES = 3
WORKERS = 8


class Stream(Protocol):
    """What is asked of a stream of files; is_report: whether of the files of one day a later one restates the earlier ones."""

    @property
    def title(self) -> str: ...

    @property
    def account(self) -> str: ...

    @property
    def folder(self) -> Folder: ...

    @property
    def is_report(self) -> bool: ...


Land = Callable[["Todo"], Landed]


@dataclass(frozen=True)
class Drop:
    """One dropped file that matches a stream's pattern; name: its path below the root; day is None when the stream is not cut by day."""

    path: Path
    name: str
    slice_id: str
    day: date | None


@dataclass(frozen=True)
class Todo:
    """A drop that was looked at: what it holds, and the instant its attempt is to have."""

    drop: Drop
    sha256: str
    bytes: int
    extracted_at: datetime


def land_new(stream: Stream, found: Sequence[Drop], days: tuple[date, date], before: Sequence[Landed], land: Land, say: Say) -> Counts:
    """Land of the files found those of the days, inclusive, that are new. New files of earlier days too, when they are no older than the
    stream's first landed day and accept_late_days: they came late, or restate their day. A file whose landed parts were damaged or lost
    since is landed again.

    before: the stream's attempts; land: lands one file, raising UnreadableFileError or ChangedFileError when nothing of it was landed.
    """
    first_day, last_day = days
    known = [date.fromisoformat(one.manifest["slice_from"]) for one in before if one.manifest.get("slice_from")]
    earliest = max(
        min(known, default=first_day), first_day - min(timedelta(days=settings.platform().accept_late_days), first_day - date.min)
    )
    paths = {one.origin.get("path") for one in before}
    unlanded = [drop for drop in found if os.path.realpath(drop.path) not in paths]
    late = [drop for drop in unlanded if drop.day is not None and earliest <= drop.day < first_day]
    if late:
        say(f"{stream.title}: {len(late)} files of days before {first_day} came since, from {late[0].day} on")
    drops = [*late, *(drop for drop in found if drop.day is None or first_day <= drop.day <= last_day)]
    instant = next_instant(before)
    if instant - datetime.now(UTC) > timedelta(seconds=1):
        say(f"{stream.title}: the clock is behind the newest landing, of {instant:%Y-%m-%d %H:%M} UTC; what lands now counts as later")
    work = _Work(stream, land, say, newest_of(before), instant, Counts(files=len(drops)))
    again, fresh, skipped = _sorted_out(stream, work.looked_at(drops), before, say)
    work.counts.skipped += skipped
    gone = work.land_again(again)
    if gone and not stream.is_report:
        asked = {drop.path for drop in drops}
        fresh += work.released([drop for drop in unlanded if drop.path not in asked], gone)
    work.land_fresh(fresh)
    return work.counts


@dataclass
class _Work:
    """One stream's pull under way. force: of each slice the newest attempt; instant: of the next attempt."""

    stream: Stream
    land_one: Land
    say: Say
    force: dict[tuple[str, str], Landed]
    instant: datetime
    counts: Counts

    def looked_at(self, drops: Iterable[Drop]) -> list[Todo]:
        """What each drop holds; one that cannot be read is refused."""
        todos = []
        for drop in drops:
            try:
                todos.append(Todo(drop, *self.stream.folder.hashed(drop.path), self.instant))
            except UnreadableFileError as error:
                self.counts.refused += 1
                self.counts.failures.append(error)
            # attempts of one pull differ in their instants, so that "the newest" has one meaning everywhere
            self.instant += timedelta(microseconds=1)
        return todos

    def land(self, todos: Iterable[Todo]) -> list[Landed]:
        """Land them, those of one slice in their order; what cannot be landed is refused, and what comes after it in its slice waits for it."""
        slices: dict[str, list[Todo]] = {}
        for todo in todos:
            slices.setdefault(todo.drop.slice_id, []).append(todo)
        done: list[Landed] = []
        # small files wait for the disk most of the time
        with ThreadPoolExecutor(max_workers=WORKERS) as workers:
            for some, (attempts, error) in zip(slices.values(), workers.map(self._land_slice, slices.values())):
                done += attempts
                self.counts.refused += len(some) - len(attempts)
                self.counts.failures += [error] if error else []
        for one in done:
            earlier = self.force.get(one.slice)
            if earlier and earlier.records and not one.records:
                self.say(f"{one.origin['path']}: has no records, and so replaces the {earlier.records} that were delivered before")
            self.force[one.slice] = one
        self.counts.landed += len(done)
        self.counts.records += sum(one.records for one in done)
        return done

    def land_again(self, todos: list[Todo]) -> dict[str, int]:
        """Land what is a new delivery of its slice. Returns the sha256 and bytes of what is in force nowhere any more."""
        slices = {(self.stream.account, todo.drop.slice_id) for todo in todos}
        replaced = [one.origin for place, one in self.force.items() if place in slices]
        self.land(todos)
        held = {one.origin.get("sha256") for one in self.force.values()}
        return {str(one["sha256"]): int(one["bytes"]) for one in replaced if {"sha256", "bytes"} <= set(one) and one["sha256"] not in held}

    def released(self, drops: list[Drop], gone: Mapping[str, int]) -> list[Todo]:
        """Of files that were never landed, those that are copies of what is gone: it is they now that hold it."""
        todos = [todo for todo in self.looked_at(d for d in drops if _size(d.path) in gone.values()) if todo.sha256 in gone]
        self.counts.files += len(todos)
        if todos:
            self.say(
                f"{self.stream.title}: {len(todos)} files hold what was replaced just now, as {todos[0].drop.path}; they are landed too"
            )
        return todos

    def land_fresh(self, todos: list[Todo]) -> None:
        """Land what is of new slices, of equal files one; a file without records is no copy of another."""
        empty: set[str] = set()
        copies: list[Todo] = []
        while todos:
            held = {one.origin.get("sha256") for one in self.force.values() if one.records}
            now: dict[str, list[Todo]] = {}
            later = []
            for todo in todos:
                if todo.sha256 in held:
                    copies.append(todo)
                elif todo.sha256 in now and todo.sha256 not in empty:
                    later.append(todo)
                else:
                    now.setdefault(todo.sha256, []).append(todo)
            done = self.land(todo for some in now.values() for todo in some)
            empty |= {str(one.origin["sha256"]) for one in done if not one.records}
            todos = later
        if copies:
            self.counts.skipped += len(copies)
            self.say(
                f"{self.stream.title}: {len(copies)} files hold what others hold that are landed, as {copies[0].drop.path}; they are not landed"
            )

    def _land_slice(self, todos: list[Todo]) -> tuple[list[Landed], UnreadableFileError | None]:
        """Land a slice's files in order. Ends at one that cannot be landed, with its error: landed after a later one it would replace that."""
        attempts: list[Landed] = []
        for todo in todos:
            try:
                attempts.append(self._land_steady(todo))
            except UnreadableFileError as error:
                return attempts, error
        return attempts, None

    def _land_steady(self, todo: Todo) -> Landed:
        """Land a file; anew when it is changed meanwhile, but not for ever."""
        for _ in range(TRIES - 1):
            try:
                return self.land_one(todo)
            except ChangedFileError:
                sha256, size = self.stream.folder.hashed(todo.drop.path)
                todo = replace(todo, sha256=sha256, bytes=size)
        return self.land_one(todo)


def _sorted_out(stream: Stream, todos: list[Todo], before: Sequence[Landed], say: Say) -> tuple[list[Todo], list[Todo], int]:
    """The drops that are landed whatever others hold (changed, damaged, reports), those of new slices, and how many need nothing."""
    force = newest_of(before)
    in_order = sorted(before, key=lambda one: int(one.manifest["attempt"]))
    by_path = {one.origin.get("path"): one for one in in_order}
    by_name = {(one.slice, one.origin.get("name")): one for one in in_order}
    again, fresh, skipped = [], [], 0
    for todo in todos:
        drop, place = todo.drop, (stream.account, todo.drop.slice_id)
        in_slice = by_name.get((place, drop.name)) if stream.is_report else force.get(place)
        earlier = in_slice or by_path.get(os.path.realpath(drop.path))
        if earlier is not None and earlier.origin.get("sha256") == todo.sha256:
            # what was replaced since is not read any more, whatever became of it
            if earlier is force[earlier.slice] and not earlier.is_whole():
                say(f"{stream.title}: what was landed of {drop.path} was changed, cut or lost; it is landed again")
                again.append(todo)
            else:
                skipped += 1
        elif stream.is_report and (later := _restated_by(drop, force.get(place))):
            say(
                f"{drop.path}: {later} is landed and restates it, so it is not landed; if it is the newer one, deliver it under a later name"
            )
            skipped += 1
        elif earlier is not None or stream.is_report:
            again.append(todo)
        else:
            fresh.append(todo)
    return again, fresh, skipped


def _restated_by(drop: Drop, newest: Landed | None) -> str | None:
    """The name of the landed delivery of the drop's slice that comes after it; None when there is none."""
    name = None if newest is None else newest.origin.get("name")
    return name if name is not None and in_order(drop.name.removesuffix(".gz")) < in_order(name.removesuffix(".gz")) else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
