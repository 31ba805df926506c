"""Replaces the report's folder when all is written, and refuses one that holds something else."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemas.digests import canonical_json
from schemas.errors import OutputError, WriteFailed
from schemas.store.files import fsync_folder, make_folder, temporary_path

MARKER: Final = "rim-report.json"
"""The file by which an earlier report is known."""

ENTRIES: Final = frozenset(
    {
        *("index.html", "map.html", "similarity.html"),
        *("assets", "categories", "data", "pictures"),
        MARKER,
    }
)
"""Everything that stands at the top of a report's folder."""


def check_folder(out: Path, bank: Path) -> Path:
    """Checks that a report may be written to `out`, and returns its real path.

    An earlier report may be replaced, and an empty folder filled. Raises OutputError for a file, a
    folder that holds anything else, and a place within the bank or around it.
    """
    target, source = out.resolve(), bank.resolve()
    if target == source or source in target.parents:
        raise OutputError(f"{out}: expected a folder outside the bank {bank}; choose another --out")
    if not target.exists():
        return target
    if not target.is_dir():
        raise OutputError(f"{out}: expected a folder, found a file; choose another --out")
    found = {entry.name for entry in os.scandir(target)}
    foreign = sorted(found - ENTRIES) if MARKER in found else sorted(found)
    if foreign:
        raise OutputError(
            f"{out}: expected an empty folder or an earlier report, found {foreign[0]!r} in it; "
            "choose another --out"
        )
    return target


@contextlib.contextmanager
def replacing_folder(target: Path, description: dict[str, object]) -> Iterator[Path]:
    """A folder to write a report into, which takes the name `target` when the block ends.

    If the block raises, nothing of it remains and an earlier report is still there.

    target: as `check_folder` returned it. description: what the marker says.

    Raises WriteFailed if the disk does not take it.
    """
    with _failing(target):
        make_folder(target.parent)
        work = temporary_path(target.parent, target.name)
        work.mkdir()
    try:
        with _failing(target):
            yield work
            (work / MARKER).write_bytes(canonical_json(description))
            _swap(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _swap(work: Path, target: Path) -> None:
    """Gives `work` the name of `target`; the older folder goes only when that has succeeded."""
    old = None
    if target.exists():
        old = temporary_path(target.parent, f"{target.name}-old")
        os.rename(target, old)
    try:
        os.rename(work, target)
    except OSError:
        if old is not None:
            os.rename(old, target)
        raise
    fsync_folder(target.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _failing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteFailed(
            f"cannot write the report {target}: {error.strerror or error}; nothing of it was kept"
        ) from error
