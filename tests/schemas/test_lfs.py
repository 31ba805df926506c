"""Git LFS pointers: told from every other thing, without waiting or reading much."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.lfs import is_lfs_pointer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 5\n" % (b"0" * 64)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (POINTER, True),
        (POINTER[:42], True),
        (POINTER[:41], False),
        (b"", False),
        (b"\n" + POINTER, False),
        (b"version 1\n", False),
        (bytes(500) + POINTER, False),
    ],
)
def test_only_a_pointer_is_one(tmp_path: Path, content: bytes, expected: bool) -> None:
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "link").symlink_to("a")
    assert is_lfs_pointer(tmp_path / "a") == expected
    assert is_lfs_pointer(tmp_path / "link") == expected


def test_what_is_no_file_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nothing", Path("/dev/zero")):
        assert not is_lfs_pointer(path)
