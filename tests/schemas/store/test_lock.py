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
from filelock import SoftFileLock

from schemas.errors import OutputError, WriteFailed
from schemas.store.lock import LOCK_NAME, MARKER_NAME, build_lock

REPOSITORY = Path(__file__).resolve().parents[3]


def hold(bank: Path, process: int, host: str = socket.gethostname()) -> None:
    """What another process leaves in a bank on a file system that cannot lock."""
    holder = {"host": host, "process": process, "start": "2024-05-01T12:00:00Z"}
    (bank / LOCK_NAME).write_text(json.dumps(holder))
    (bank / MARKER_NAME).write_text(f"{process}\n{host}\n")


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
    """A file system that cannot lock: the marker that exists is the lock."""

    def test_the_second_is_told_who_the_first_is(self, tmp_path: Path) -> None:
        expected = rf"process {os.getpid()} on .*this file system cannot lock, .*{MARKER_NAME}"
        with build_lock(tmp_path), pytest.raises(OutputError, match=expected), build_lock(tmp_path):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]
        assert (tmp_path / LOCK_NAME).read_bytes() == b""

    def test_a_living_process_is_obeyed(self, tmp_path: Path) -> None:
        hold(tmp_path, os.getpid())
        with pytest.raises(OutputError, match="cannot lock"), build_lock(tmp_path):
            pass

    def test_a_process_on_another_host_is_obeyed(self, tmp_path: Path) -> None:
        hold(tmp_path, 1, host="elsewhere")
        with pytest.raises(OutputError, match="process 1 on elsewhere"), build_lock(tmp_path):
            pass

    def test_a_dead_process_is_recognised(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        hold(tmp_path, dead_process())
        with caplog.at_level(logging.WARNING), build_lock(tmp_path):
            assert "going on from where another process was stopped" in caplog.text
            with pytest.raises(OutputError), build_lock(tmp_path):
                pass
        assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]

    def test_a_folder_that_takes_no_file_is_explained(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(SoftFileLock, "acquire", refuse)
        with pytest.raises(OutputError, match=r"cannot lock .*Read-only"), build_lock(tmp_path):
            pass


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).mkdir()
    with pytest.raises(OutputError, match=f"cannot write into {tmp_path}"), build_lock(tmp_path):
        pass


def test_a_system_without_fcntl_locks_by_a_marker(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; sys.modules['fcntl'] = None\n"
        "from schemas.store.lock import MARKER_NAME, build_lock\n"
        "bank = pathlib.Path(sys.argv[1])\n"
        "with build_lock(bank): print((bank / MARKER_NAME).exists())\n"
        "print((bank / MARKER_NAME).exists())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.split() == ["True", "False"]
