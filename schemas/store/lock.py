"""The writer's lock: one process at a time writes into a bank, and says who it is."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from filelock import SoftFileLock, Timeout, lock_descriptor

from schemas.errors import OutputError, WriteFailed
from schemas.store.files import make_folder

LOCK_NAME = ".lock"
MARKER_NAME = ".lock.held"
"""Exists while a process writes, where the file system cannot lock."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_TAKE_OVER_SECONDS = 0.5  # enough for a second attempt, once the marker of a dead process is gone
_MAX_BYTES = 4096

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def build_lock(bank: Path) -> Iterator[None]:
    """Lets one process at a time write into a bank.

    `BANK/.lock` is locked by the operating system, which frees it if the process dies, and says
    host, process and start of who holds it; it is empty when no process does. Where the file system
    cannot lock, the file `BANK/.lock.held` is the lock while it exists. It is taken over if its
    process has died, and obeyed if that runs on another host, where this cannot be told.

    The folder is made if needed. What the disk refuses inside the block (OSError) comes out as
    WriteFailed.

    Raises:
        OutputError: another process is writing, and which one; or the folder cannot be made.
        WriteFailed: see above.
    """
    try:
        make_folder(bank)
        file = (bank / LOCK_NAME).open("a+b")
    except OSError as error:
        raise OutputError(f"cannot write into {bank}: {error.strerror}") from error
    with file, _locked(bank, file):
        holder = _read(file)
        if holder:
            logger.warning(
                "%s: going on from where another process was stopped: %s", bank, _described(holder)
            )
        try:
            with _disk_errors_explained(bank):
                _write(file, _ourselves())
                yield
        finally:
            # Emptied before it is freed: what it says is about who holds it.
            with contextlib.suppress(OSError):
                _write(file, None)


@contextlib.contextmanager
def _locked(bank: Path, file: BinaryIO) -> Iterator[None]:
    """Holds the lock, or OutputError naming who has it; closing the file frees it."""
    try:
        has_lock = lock_descriptor(file.fileno(), blocking=False)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OutputError(f"cannot lock {bank / LOCK_NAME}: {error.strerror}") from error
        with _marked(bank, file):
            yield
        return
    if not has_lock:
        raise OutputError(
            f"another process is writing into {bank}: {_described(_read(file))}; wait until "
            "it has finished"
        )
    yield


@contextlib.contextmanager
def _marked(bank: Path, file: BinaryIO) -> Iterator[None]:
    """The same on a file system that cannot lock: a file that exists is the lock."""
    marker = bank / MARKER_NAME
    lock = SoftFileLock(marker, timeout=_TAKE_OVER_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"another process is writing into {bank}: {_described(_read(file))}; this file system "
            f"cannot lock, so if that process is gone, delete {marker}"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot lock {marker}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def _ourselves() -> dict[str, Any]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "process": os.getpid(), "start": started}


def _read(file: BinaryIO) -> dict[str, Any]:
    """What the file says of who holds the lock; {} if nothing, or nothing that can be read."""
    try:
        file.seek(1)  # Windows locks the first byte, which is always "{"
        holder = json.loads(b"{" + file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _write(file: BinaryIO, holder: dict[str, Any] | None) -> None:
    file.seek(0)
    file.truncate()
    if holder is not None:
        file.write(json.dumps(holder).encode("utf-8"))
    file.flush()


def _described(holder: dict[str, Any]) -> str:
    """Host, process and start in words."""
    if not holder:
        return "it does not say which"
    shown = {key: str(holder.get(key, "unknown"))[:100] for key in ("process", "host", "start")}
    return f"process {shown['process']} on {shown['host']}, since {shown['start']}"


@contextlib.contextmanager
def _disk_errors_explained(bank: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteFailed(
            f"cannot write into {bank}: {error.strerror or error}; what was finished is kept: put "
            "that right and run the same command again"
        ) from error
