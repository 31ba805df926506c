"""What is remembered of files, and when it is not believed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from foundation.stack import ModelStack
from foundation.weights import cache
from foundation.weights.cache import (
    SETTLED_NS,
    SMALLEST,
    cache_folder,
    is_own_download,
    known_sha256,
    note_download,
)
from foundation.weights.model_files import fingerprint
from schemas.digests import sha256_file
from schemas.settings import load_settings

DATA = bytes(range(256)) * (SMALLEST // 256)
MEMORY = "files.json"


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that have been read, with an empty memory, as if all were written long ago."""
    found: list[Path] = []

    def counted(path: Path) -> str:
        found.append(path)
        return sha256_file(path)

    monkeypatch.setenv("RIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "SETTLED_NS", -(10**12))
    monkeypatch.setattr(cache, "sha256_file", counted)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(DATA)
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_read_once(reads: list[Path], file: Path) -> None:
    (file.parent / "link").symlink_to(file)
    for path in (file, file, file.parent / "link", Path(os.path.relpath(file))):
        assert known_sha256(path) == sha256(DATA)
    assert reads == [file]
    assert known_sha256(file, read=True) == sha256(DATA)
    assert reads == [file, file]


def test_a_changed_file_is_read(reads: list[Path], file: Path) -> None:
    known_sha256(file)
    facts = file.stat()
    other = DATA[:-1] + b"?"
    file.write_bytes(other)
    # As copying programs do that keep times: of size, mtime and inode nothing tells.
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert file.stat().st_ino == facts.st_ino
    assert known_sha256(file) == sha256(other)
    file.write_bytes(other + b"!")
    assert known_sha256(file) == sha256(other + b"!")
    (file.parent / "new").write_bytes(DATA)
    (file.parent / "new").rename(file)
    assert known_sha256(file) == sha256(DATA)
    assert len(reads) == 4


def test_what_was_written_just_before_is_not_believed(
    reads: list[Path], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED_NS", SETTLED_NS)
    for _ in range(2):
        assert known_sha256(file) == sha256(DATA)
    assert len(reads) == 2
    later = time.time_ns() + SETTLED_NS
    monkeypatch.setattr(time, "time_ns", lambda: later)
    for _ in range(2):
        assert known_sha256(file) == sha256(DATA)
    assert len(reads) == 3


def test_a_time_in_the_future_is_not_believed(
    reads: list[Path], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED_NS", 0)
    ahead = time.time_ns() + 10**12
    os.utime(file, ns=(ahead, ahead))
    for _ in range(2):
        known_sha256(file)
    assert len(reads) == 2


def test_a_file_that_changes_while_it_is_read(
    reads: list[Path], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(path: Path) -> str:
        digest = sha256_file(path)
        path.write_bytes(b"?" * SMALLEST)
        return digest

    monkeypatch.setattr(cache, "sha256_file", changing)
    known_sha256(file)
    monkeypatch.setattr(cache, "sha256_file", sha256_file)
    assert known_sha256(file) == sha256(b"?" * SMALLEST)


def test_small_files_are_always_read(reads: list[Path], tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"small")
    for _ in range(2):
        assert known_sha256(small) == sha256(b"small")
    assert len(reads) == 2
    assert not cache_folder().exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b'{"contents": {"a": 1}}', b"\xff\x00"])
def test_a_damaged_memory_is_empty(reads: list[Path], file: Path, damage: bytes) -> None:
    known_sha256(file)
    (cache_folder() / MEMORY).write_bytes(damage)
    for _ in range(2):
        assert known_sha256(file) == sha256(DATA)
    assert len(reads) == 2


def test_a_memory_that_cannot_be_written_is_no_error(
    reads: list[Path], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_bytes(b"a file")
    monkeypatch.setenv("RIM_CACHE", str(tmp_path / "taken" / "cache"))
    for _ in range(2):
        assert known_sha256(file) == sha256(DATA)
    note_download(file)
    assert not is_own_download(file)
    assert len(reads) == 2


def test_a_user_without_a_home(
    reads: list[Path], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RIM_CACHE")
    monkeypatch.setattr(Path, "home", homeless)
    assert known_sha256(file) == sha256(DATA)
    assert not is_own_download(file)


def test_the_memory_is_bounded(
    reads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MOST_FILES", 3)
    files = [tmp_path / f"{number}" for number in range(4)]
    for path in files:
        path.write_bytes(DATA)
        known_sha256(path)
        note_download(path)
    for path in reversed(files):
        known_sha256(path)
    assert reads == [*files, files[0]]
    assert [is_own_download(path) for path in files] == [False, True, True, True]


def test_a_name_that_is_no_text(reads: list[Path], tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    path.write_bytes(DATA)
    for _ in range(2):
        assert known_sha256(path) == sha256(DATA)
    assert len(reads) == 1


def _remember(path: Path) -> None:
    for _ in range(20):
        known_sha256(path, read=True)


def test_processes_that_write_at_once_leave_a_memory(reads: list[Path], tmp_path: Path) -> None:
    files = [tmp_path / f"{number}" for number in range(3)]
    for path in files:
        path.write_bytes(DATA)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_remember, args=(path,)) for path in files]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for path in files:
        assert known_sha256(path) == sha256(DATA)
    assert len(reads) < len(files)  # of at least one process the last word is there
    assert os.listdir(cache_folder()) == [MEMORY]


def test_a_stack_reads_its_weights_once(reads: list[Path]) -> None:
    settings = load_settings("miniature")
    first = ModelStack(settings, "cpu").fingerprints()
    large = [path for path in reads if path.stat().st_size >= SMALLEST]
    assert len(large) >= 4
    reads.clear()
    assert ModelStack(settings, "cpu").fingerprints() == first
    assert not [path for path in reads if path.stat().st_size >= SMALLEST]
    reads.clear()
    assert ModelStack(settings, "cpu", read_files=True).fingerprints() == first
    assert set(large) <= set(reads)
    path = ModelStack(settings, "cpu").path("features")
    assert fingerprint(path, read=True) == first["features"].fingerprint
