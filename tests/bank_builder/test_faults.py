"""A disk that fails at the n-th write: nothing finished is lost, and resuming works."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import schemas.store.files
from bank_builder.build import build_bank
from schemas.errors import OutputError, WriteFailed
from schemas.store.bank import StoredBank
from schemas.store.shards import finished_folders, read_sidecar
from schemas.store.verify import inspect_bank
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import StandInStack, settings, shard_bytes

VOCABULARY = vocabulary_from_names(["fish, carp", "owl"])
_STEPS = ("fsync", "link", "replace", "rename", "mkdir")


class _Raw(io.FileIO):
    """A file whose writes are counted."""

    before: Callable[[], None]

    def write(self, data: Any) -> int:
        self.before()
        return super().write(data)


@contextmanager
def disk(before: Callable[[], None]) -> Iterator[None]:
    """Calls `before` ahead of every write, fsync, link, renaming and new folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _STEPS:
            real = getattr(os, name)

            def step(*args: Any, real: Any = real, **options: Any) -> Any:
                before()
                return real(*args, **options)

            patch.setattr(os, name, step)

        def opened(descriptor: int, mode: str) -> io.BufferedWriter:
            raw = _Raw(descriptor, mode)
            raw.before = before
            return io.BufferedWriter(raw)

        patch.setattr(schemas.store.files, "open", opened, raising=False)
        yield


class Fault:
    """Does something at the n-th step, or at it and all that follow."""

    def __init__(self, number: int, act: Callable[[], None], *, stays: bool) -> None:
        self.number, self.act, self.stays, self.seen = number, act, stays, 0

    def __call__(self) -> None:
        self.seen += 1
        if self.seen == self.number or (self.stays and self.seen > self.number):
            self.act()


def raising(code: int) -> Callable[[], None]:
    def act() -> None:
        raise OSError(code, os.strerror(code))

    return act


def build(out: Path) -> None:
    build_bank(VOCABULARY, out, settings(), StandInStack())


def build_on(out: Path, fault: Fault) -> str | None:
    """Builds on a disk with a fault; what the error said, None if there was none."""
    try:
        with disk(fault):
            build(out)
    except (WriteFailed, OutputError) as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A bank that was built in one go, and how many steps that took."""
    out = tmp_path_factory.mktemp("undisturbed") / "bank"
    count = Fault(0, lambda: None, stays=False)
    with disk(count):
        build(out)
    assert count.seen > 60
    return out, count.seen


def check(tmp_path: Path, whole: Path, code: int, numbers: range, *, stays: bool) -> None:
    wanted = shard_bytes(whole)
    failed = 0
    for number in numbers:
        out = tmp_path / f"bank{number}"
        fault = Fault(number, raising(code), stays=stays)
        message = build_on(out, fault)
        if message is not None:
            assert os.strerror(code) in message, number
            assert "\n" not in message
            failed += 1
            assert not list(out.glob("manifests/[0-9]*")) or inspect_bank(out).damages == ()
        else:  # the fault met only something that does not matter, such as freeing the lock
            assert StoredBank(out).version == 1
        finished = {path: path.stat().st_mtime_ns for path in finished_folders(out)}
        for folder in finished:
            read_sidecar(folder)
        build(out)
        assert shard_bytes(out) == wanted, number
        assert {path: path.stat().st_mtime_ns for path in finished} == finished, number
        assert inspect_bank(out).damages == (), number
        assert not (out / "build.json").exists(), number
        shutil.rmtree(out)
    assert failed > 0.9 * len(numbers)


def test_a_disk_that_is_full_from_the_nth_write_on(
    tmp_path: Path, undisturbed: tuple[Path, int]
) -> None:
    whole, steps = undisturbed
    check(tmp_path, whole, errno.ENOSPC, range(1, steps + 1, 5), stays=True)


def test_a_disk_that_fails_once(tmp_path: Path, undisturbed: tuple[Path, int]) -> None:
    whole, steps = undisturbed
    check(tmp_path, whole, errno.EIO, range(3, steps + 1, 7), stays=False)


@pytest.mark.stress
@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_every_single_write(
    tmp_path: Path, undisturbed: tuple[Path, int], code: int, stays: bool
) -> None:
    whole, steps = undisturbed
    check(tmp_path, whole, code, range(1, steps + 1), stays=stays)


def test_a_folder_that_vanishes_is_an_error_and_can_be_built_again(
    tmp_path: Path, undisturbed: tuple[Path, int]
) -> None:
    whole, steps = undisturbed
    for number in range(8, steps + 1, 9):
        out = tmp_path / f"bank{number}"

        def vanish(out: Path = out) -> None:
            shutil.rmtree(out)

        message = build_on(out, Fault(number, vanish, stays=False))
        assert message is None or "No such file or directory" in message, number
        build(out)
        assert shard_bytes(out) == shard_bytes(whole)


def test_a_read_only_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    stack = StandInStack()
    with (
        disk(Fault(1, raising(errno.EROFS), stays=True)),
        pytest.raises(OutputError, match="Read-only file system"),
    ):
        build_bank(VOCABULARY, tmp_path / "bank", settings(), stack)
    assert stack.text_to_image.image_count == 0
