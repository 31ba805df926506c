"""rim's cache folder, and what it remembers of large files: their SHA-256, and its own downloads.

The folder is `~/.cache/rim`, or the one that the environment variable RIM_CACHE names. Nothing in
it is needed: what is missing or damaged there is found out again.

What is remembered of files is one small JSON file. An entry counts only while the file is the same
by path, size, inode and the times of its last changes. As in git's index, times alone do not tell a
file that was changed in the very tick in which it was read: what was written less than
`SETTLED_NS` before the reading is read again the next time. A damaged JSON file is an empty one,
one that cannot be written is no error, and of two processes that write at once one may lose
entries.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from schemas.digests import sha256_file
from schemas.records import Count, Record, Sha256
from schemas.store.files import write_atomic

SETTLED_NS = 2_000_000_000
"""The coarsest tick of file systems in use (FAT): older changes have another time than newer."""

SMALLEST = 1 << 20
"""Bytes; a smaller file is read as fast as it is looked up."""

MOST_FILES = 2000
"""How many files are remembered: those that were read last."""

_NOWHERE = (OSError, RuntimeError)  # the latter for a user without a home
_Value = TypeVar("_Value")


class _Stamp(Record):
    """Identifies the file that was read. Times in nanoseconds since 1970."""

    size: Count
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> _Stamp:
        """Of a file as it is now; OSError if it is not there."""
        facts = path.stat()
        return cls(
            size=facts.st_size,
            mtime_ns=facts.st_mtime_ns,
            ctime_ns=facts.st_ctime_ns,
            inode=facts.st_ino,
        )


class _Content(Record):
    """A file's SHA-256, and the file that had it."""

    stamp: _Stamp
    sha256: Sha256


class _Memory(Record):
    """The file's content: by absolute path, what was read, and the inodes of what was downloaded;
    in the order in which they were last written.
    """

    contents: dict[str, _Content] = Field(default_factory=dict)
    downloads: dict[str, int] = Field(default_factory=dict)


def cache_folder() -> Path:
    """The per-user folder of rim, whether or not it exists."""
    named = os.environ.get("RIM_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "rim"


def known_sha256(path: Path, *, read: bool = False) -> str:
    """SHA-256 of a file's content, from memory if the file is unchanged since it was last read.

    Args:
        read: read the file whatever is remembered; what is found is remembered.

    Raises:
        OSError: the file cannot be read.
    """
    place = _place(path)
    before = _Stamp.of(path)
    if before.size < SMALLEST:
        return sha256_file(path)
    if not read:
        known = _load().contents.get(place)
        if known is not None and known.stamp == before:
            return known.sha256
    started = time.time_ns()
    digest = sha256_file(path)
    settled = max(before.mtime_ns, before.ctime_ns) <= started - SETTLED_NS
    if settled and _Stamp.of(path) == before:
        memory = _load()
        content = _Content(stamp=before, sha256=digest)
        _save(memory.model_copy(update={"contents": _added(memory.contents, place, content)}))
    return digest


def note_download(path: Path) -> None:
    """Remembers that rim has just downloaded a file."""
    memory = _load()
    downloads = _added(memory.downloads, _place(path), path.stat().st_ino)
    _save(memory.model_copy(update={"downloads": downloads}))


def is_own_download(path: Path) -> bool:
    """Whether rim downloaded the file that is there, so that it may replace it.

    A file that another program has put in its place is another one; where that cannot be told
    apart from a lost memory, it is not rim's own.
    """
    try:
        return _load().downloads.get(_place(path)) == path.stat().st_ino
    except OSError:
        return False


def _place(path: Path) -> str:
    """Of the file itself, wherever links to it are; UTF-8 also where its name is not."""
    return os.path.realpath(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _file() -> Path:
    return cache_folder() / "files.json"


def _load() -> _Memory:
    try:
        return _Memory.model_validate_json(_file().read_bytes())
    except (*_NOWHERE, ValidationError):
        return _Memory()


def _save(memory: _Memory) -> None:
    """Writes the memory if that can be done."""
    with contextlib.suppress(*_NOWHERE):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, memory.model_dump_json(indent=1).encode("utf-8"))


def _added(entries: dict[str, _Value], place: str, value: _Value) -> dict[str, _Value]:
    """The entries with one more, as the last, and without the first ones if they are too many."""
    rest = [(key, one) for key, one in entries.items() if key != place]
    return dict([*rest, (place, value)][-MOST_FILES:])
