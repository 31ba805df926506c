"""One writer at a time; who it is; and a dead one's lock is free."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import OutputError, WriteFailed
from schemas.store.lock import LOCK_NAME, build_lock

REPOSITORY = Path(__file__).resolve().parents[3]


def hold(bank: Path, **changes: object) -> None:
    """A lock file as another process leaves it."""
    holder = {"host": socket.gethostname(), "process": os.getpid(), "start": "2024-05-01T12:00:00Z"}
    (bank / LOCK_NAME).write_text(json.dumps(holder | changes))


def dead_process() -> int:
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot lock."""

    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    with build_lock(tmp_path):
        expected = (
            rf"another process is writing into .*: process {os.getpid()} on "
            rf"{socket.gethostname()}, since 20\d\d-\d\d-\d\dT.*; wait until it has finished"
        )
        with pytest.raises(OutputError, match=expected), build_lock(tmp_path):
            pass
    assert (tmp_path / LOCK_NAME).read_bytes() == b""
    with build_lock(tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = (
        "import os, pathlib, sys; from schemas.store.lock import build_lock\n"
        "with build_lock(pathlib.Path(sys.argv[1])): os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, check=False)
    assert ended.returncode == 9
    assert b"process" in (tmp_path / LOCK_NAME).read_bytes()
    with caplog.at_level(logging.WARNING), build_lock(tmp_path):
        assert "going on from where another process was stopped: process" in caplog.text
    assert (tmp_path / LOCK_NAME).read_bytes() == b""


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"process": "x\\u001b[2J"}', b"\xff" * 99]
)
def test_whatever_the_file_says_it_can_be_locked(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK_NAME).write_bytes(content)
    with build_lock(tmp_path):
        pass


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError), build_lock(tmp_path):
        raise KeyError("x")
    with build_lock(tmp_path):
        pass


def test_what_the_disk_refuses_inside_is_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteFailed, match="No space left on device; what was finished is kept"),
        build_lock(tmp_path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("without_locks")
class TestWithoutLocks:
    """Then what the file says decides alone."""

    def test_a_living_process_is_obeyed(self, tmp_path: Path) -> None:
        hold(tmp_path)
        expected = rf"cannot lock, so if that process is gone, delete .*{LOCK_NAME}"
        with pytest.raises(OutputError, match=expected), build_lock(tmp_path):
            pass

    def test_a_process_on_another_host_is_obeyed(self, tmp_path: Path) -> None:
        hold(tmp_path, host="elsewhere", process=1)
        with pytest.raises(OutputError, match="process 1 on elsewhere"), build_lock(tmp_path):
            pass

    def test_a_dead_process_is_recognised(self, tmp_path: Path) -> None:
        hold(tmp_path, process=dead_process())
        with build_lock(tmp_path), pytest.raises(OutputError), build_lock(tmp_path):
            pass
        assert (tmp_path / LOCK_NAME).read_bytes() == b""
