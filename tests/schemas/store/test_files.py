"""Files appear whole or not at all, and a name can be published once."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from schemas.digests import canonical_json, sha256_bytes, sha256_file
from schemas.store.files import publish_new, write_atomic


def test_canonical_json_is_one_text_for_equal_values() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'.encode()
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == sha256_bytes(data)


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    for name in ("fsync", "replace", "link"):
        real = getattr(os, name)

        def record(*args: object, name: str = name, real: object = real) -> None:
            steps.append(name)
            real(*args)  # type: ignore[operator]

        monkeypatch.setattr(os, name, record)
    write_atomic(tmp_path / "one", b"x")
    assert steps == ["fsync", "replace", "fsync"]
    steps.clear()
    publish_new(tmp_path / "two", b"x")
    assert steps == ["fsync", "link", "fsync"]


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_name_is_published_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    if not hard_links:

        def no_link(source: object, target: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_link)
    path = tmp_path / "000001.json"
    publish_new(path, b"first")
    with pytest.raises(FileExistsError):
        publish_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_of_many_writers_exactly_one_publishes(tmp_path: Path) -> None:
    path = tmp_path / "000001.json"
    winners = []

    def publish(number: int) -> None:
        try:
            publish_new(path, f"writer {number}".encode())
        except FileExistsError:
            return
        winners.append(number)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert path.read_bytes() == f"writer {winners[0]}".encode()
