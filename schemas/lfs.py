"""Git LFS pointers: the lines of text that a checkout has where a large file should be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

LFS_HINT = "a Git LFS pointer instead of the file: run git lfs pull"
"""What a message says was found, and what to do."""

LFS_SIGNATURE = b"version https://git-lfs.github.com/spec/v1"
"""The first bytes of every pointer; the format has one version."""

_READ = 200


def is_lfs_pointer(path: Path) -> bool:
    """Whether a regular file is a Git LFS pointer; at most 200 bytes of it are read.

    It is False for a folder, a pipe, a device, and for a file that is missing or cannot be read:
    the caller finds out when it opens the file.
    """
    try:
        # Not blocking: opening a pipe without a writer would wait without end.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        return looks_like_lfs_pointer(os.read(descriptor, _READ))
    except OSError:
        return False
    finally:
        os.close(descriptor)


def looks_like_lfs_pointer(data: bytes) -> bool:
    """Whether a file's first bytes are a Git LFS pointer's."""
    return data.startswith(LFS_SIGNATURE)
