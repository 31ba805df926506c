"""Git LFS pointers: the few lines of text that stand in a checkout where a large file should be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

LFS_HINT = "a Git LFS pointer instead of the file: run git lfs pull"
"""What a message says was found, and what to do."""

LFS_SIGNATURE = b"version https://git-lfs.github.com/spec/v1"
"""How every pointer of the one version of the format that there is begins."""

_READ = 200


def is_lfs_pointer(path: Path) -> bool:
    """Whether a regular file is a Git LFS pointer; at most 200 bytes of it are read.

    A folder, a pipe, a device, and a file that is missing or cannot be read is none: whoever opens
    it says so.
    """
    try:
        # Not blocking: a pipe that nobody writes to would hold up the opening for ever.
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
