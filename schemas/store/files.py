"""Writing files so that a crash leaves the old one, the new one, or none: never half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TEMPORARY_PREFIX = ".tmp-"
_CHUNK = 1 << 20
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def temporary_path(folder: Path, name: str) -> Path:
    """An unused name in the folder, which readers of the folder skip."""
    return folder / f"{TEMPORARY_PREFIX}{name}-{os.getpid()}-{secrets.token_hex(4)}"


def create_file(path: Path) -> BinaryIO:
    """Opens a new file for writing; FileExistsError if the name is taken.

    Everything that is written into a bank is written through a file from here.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    return open(descriptor, "wb")


def fsync_file(path: Path) -> None:
    """Waits until the content of a file that a library has written is on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_open(file: BinaryIO) -> None:
    """Waits until all that was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def fsync_folder(path: Path) -> None:
    """Waits until a folder's entries are on the disk, where the system can say so."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems refuse fsync on a folder; there is nothing else to do then.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, that outlast a power cut; nothing if it is there."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        fsync_folder(folder.parent)


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """A file to be written piece by piece that takes its name in one step, when all is on the disk.

    An older file of the name is replaced. If the block raises, or the disk does not take it
    (OSError), the older file is still there and nothing else remains.
    """
    temporary = temporary_path(path.parent, path.name)
    try:
        with create_file(temporary) as file:
            yield file
            fsync_open(file)
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise
    fsync_folder(path.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file, or replaces one, in a single step that survives a crash.

    Raises OSError if it cannot; the old file is then still there.
    """
    with atomic_writer(path) as file:
        file.write(data)


def publish_new(path: Path, data: bytes) -> None:
    """Writes a file under a name that must be free; of several writers exactly one succeeds.

    The content is written beside it and then linked to the name, so it appears whole. Where the
    file system has no hard links it is renamed instead: it still appears whole, but only a lock
    that the writers hold keeps two of them from taking the same name at the same moment.

    Raises FileExistsError if the name is taken, OSError if it cannot be written.
    """
    temporary = temporary_path(path.parent, path.name)
    try:
        with create_file(temporary) as file:
            file.write(data)
            fsync_open(file)
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
            os.rename(temporary, path)
    finally:
        _remove(temporary)
    fsync_folder(path.parent)


def _remove(path: Path) -> None:
    """Deletes a file if it can; a disk with faults must not hide the error that led here."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
