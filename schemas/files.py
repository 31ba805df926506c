"""Writing files so that a crash leaves the old one, the new one, or none: never half of one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".tmp-"
_CHUNK = 1 << 20


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: keys sorted, no spaces, UTF-8; NaN and infinity refused."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def sha256_bytes(data: bytes) -> str:
    """SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, read piece by piece; OSError if it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def temporary_path(folder: Path, name: str) -> Path:
    """A name in the folder that nobody else uses and that readers of the folder skip."""
    return folder / f"{TEMPORARY_PREFIX}{name}-{os.getpid()}-{secrets.token_hex(4)}"


def fsync_file(path: Path) -> None:
    """Waits until a file's content is on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path: Path) -> None:
    """Waits until a folder's entries are on the disk, where the system can say so."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        # Some network file systems refuse fsync on a folder; there is nothing else to do then.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file, or replaces one, in a single step that survives a crash.

    Raises OSError if it cannot; the old file is then still there.
    """
    temporary = temporary_path(path.parent, path.name)
    try:
        _write_through(temporary, data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)


def publish_new(path: Path, data: bytes) -> None:
    """Writes a file under a name that must be free; of several writers exactly one succeeds.

    The content is written beside it and then linked to the name, so it appears whole. Where the
    file system has no hard links the name is opened exclusively instead: still only one writer
    gets it, but a crash can leave it half written, which its reader must detect.

    Raises FileExistsError if the name is taken, OSError if it cannot be written.
    """
    temporary = temporary_path(path.parent, path.name)
    try:
        _write_through(temporary, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:
            _write_through(path, data)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)


def _write_through(path: Path, data: bytes) -> None:
    """Creates a file, which must not exist, and waits until its content is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
