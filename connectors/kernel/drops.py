"""Files that others put into a folder, found, opened and read without trusting them.

No link is followed out of the folder unless that is declared, whatever is put in a file's place meanwhile; what cannot be read costs itself
and one sentence; a line is held in memory up to a limit.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from connectors.kernel.errors import UnreadableFileError
from connectors.kernel.landing import Cut

READ_BYTES = 2**17
CANNOT_READ = {
    errno.EACCES: "let the user that runs the pull read it",
    errno.EPERM: "let the user that runs the pull read it",
    errno.ENOENT: "it was there when the pull began: deliver it again, whole, under its final name",
    errno.ELOOP: "its links lead in a circle: put the file itself there",
}


@dataclass(frozen=True)
class Folder:
    """Where a stream's files are.

    real_root: where the root lies when no link below the configured folder is followed; follows_links: whether links may lead out of it.
    key: what to set, and where, so that they may.
    """

    root: Path
    real_root: Path
    follows_links: bool
    key: str

    def leads_out(self, path: Path) -> bool:
        """Whether a path is a link that ends outside of the folder and may not. Raises OSError where it leads nowhere."""
        if self.follows_links or (path != self.root and not path.is_symlink()):
            return False
        return not self._holds(os.path.realpath(path, strict=path != self.root))

    def _holds(self, real: str) -> bool:
        return Path(real).is_relative_to(self.real_root)

    def said_of_link(self, path: Path) -> str:
        """The sentence for a link that is not followed."""
        return (
            f"{path}: is a link that leads out of {self.real_root}, to {os.path.realpath(path)}, and was not followed; put the file itself "
            f"there, or set {self.key}"
        )

    def below(self, parts: Sequence[str | re.Pattern[str]], said: dict[str, None], folder: Path | None = None) -> Iterator[Path]:
        """The paths below the folder that match the parts of a pattern, one for each folder on the way: a name, a regular expression of
        names, or ** for any number of folders that are no links. What cannot be looked into adds its sentence to `said`."""
        here, part, rest = folder or self.root, parts[0], parts[1:]
        if part == "**":
            yield from self.below(rest, said, here)
            for entry in _entries(here, said):
                if entry.is_dir(follow_symlinks=False):
                    yield from self.below(parts, said, here / entry.name)
            return
        names = [part] if isinstance(part, str) else sorted(one.name for one in _entries(here, said) if part.fullmatch(one.name))
        for path in (here / name for name in names):
            try:
                mode = os.lstat(path).st_mode
                if not rest:
                    yield path
                elif stat.S_ISLNK(mode) and self.leads_out(path):
                    said[self.said_of_link(path)] = None
                elif stat.S_ISDIR(os.stat(path).st_mode):
                    yield from self.below(rest, said, path)
            except (FileNotFoundError, NotADirectoryError) as error:
                # what was moved away meanwhile, or is not there yet, is no fault
                if path.is_symlink():
                    said[unreadable(path, error)] = None
            except OSError as error:
                said[unreadable(path, error)] = None

    def opened(self, path: Path) -> io.FileIO:
        """The file, open for reading; a link that was put in its place since it was found is not followed either.

        Raises UnreadableFileError with the sentence that says why not.
        """
        try:
            # a pipe in its place must not hold the reader up
            file = io.FileIO(str(path), "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
        except OSError as error:
            raise UnreadableFileError(unreadable(path, error)) from error
        try:
            there = f"/proc/self/fd/{file.fileno()}"
            real = os.readlink(there) if os.path.islink(there) else os.path.realpath(path)
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableFileError(f"{path}: is no file any more; nothing of it was landed: deliver it again")
            if not (self.follows_links or self._holds(real)):
                raise UnreadableFileError(self.said_of_link(path))
        except BaseException:
            file.close()
            raise
        return file

    def hashed(self, path: Path) -> tuple[str, int]:
        """SHA-256 of a file's bytes, and how many there are. Raises UnreadableFileError."""
        with self.opened(path) as file:
            try:
                return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
            except OSError as error:
                raise UnreadableFileError(unreadable(path, error)) from error


def _entries(folder: Path, said: dict[str, None]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        said[
            f"{folder}: cannot be looked into ({error.strerror}), so nothing in it was landed; let the user that runs the pull read it"
        ] = None
        return []


def unreadable(path: Path, error: OSError) -> str:
    """The sentence for a file that cannot be read."""
    if path.is_symlink() and error.errno == errno.ENOENT:
        return f"{path}: is a link that leads nowhere, so nothing of it was landed; put the file itself there"
    advice = CANNOT_READ.get(error.errno or 0, "deliver the file again")
    return f"{path}: cannot be read ({error.strerror or error}); nothing of it was landed: {advice}"


class Watched(io.RawIOBase):
    """A file read from its beginning, and the sha256 of what was read."""

    def __init__(self, file: io.FileIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        self.digest.update(memoryview(buffer)[:count])
        return count


def limited_lines(text: BinaryIO, limit: int, most: int, refuse: Callable[[], None]) -> Iterator[bytes]:
    """The lines with their ends; of one that has more than `limit` bytes before its end the Cut beginning, so that memory is bounded.

    refuse: raises; called when there are more than `most` bytes.
    """
    total = 0

    def more() -> bytes:
        nonlocal total
        block = text.read(READ_BYTES)
        total += len(block)
        if total > most:
            refuse()
        return block

    rest, block = b"", more()
    while block:
        end = block.rfind(b"\n") + 1
        if end:
            lines = io.BytesIO(rest + block[:end])
            # without a step of Python for each line, where none can be too long
            yield from lines if lines.getbuffer().nbytes <= limit else (within(line, limit) for line in lines)
        rest = block[end:] if end else rest + block
        if len(rest) > limit + 2:
            line, block = _cut(rest, limit, more)
            yield line
            rest, block = b"", block or more()
        else:
            block = more()
    if rest:
        yield within(rest, limit)


def within(line: bytes, limit: int) -> bytes:
    """The line, or its Cut beginning when it has more than `limit` bytes before its end."""
    record = line.rstrip(b"\r\n")
    return Cut(record, hashlib.sha256(record).hexdigest()) if len(record) > limit else line


def _cut(beginning: bytes, limit: int, more: Callable[[], bytes]) -> tuple[Cut, bytes]:
    """A line that goes on beyond what is held of it, read to its end; and what was read of the lines after it."""
    digest, ends, piece, end = hashlib.sha256(), b"", beginning, -1
    while piece and end < 0:
        end = piece.find(b"\n")
        line = piece if end < 0 else piece[:end]
        # carriage returns before the line's end do not belong to the record
        body = line.rstrip(b"\r")
        if body or len(ends) > READ_BYTES:
            digest.update(ends + body)
            ends = b""
        ends, after = ends + line[len(body) :], piece[end + 1 :] if end >= 0 else b""
        piece = more() if end < 0 else piece
    return Cut(beginning[:limit], digest.hexdigest()), after
