"""Downloads that are interrupted, corrupted or in each other's way, from a server on 127.0.0.1."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from huggingface_hub import constants

from foundation.weights.download import Digest, download, size_of, unfinished_bytes
from schemas.errors import ModelError
from tests.stand_in_hub import StandInHub

DATA = np.random.default_rng(0).bytes(1_000_000)
DIGEST = Digest("sha256", hashlib.sha256(DATA).hexdigest())
NAME = "/weights/file.pth"


@pytest.fixture
def target(hub: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file is to go; the server has it, and the client keeps every 64 KiB."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    (tmp_path / "served").write_bytes(DATA)
    hub.files[NAME] = tmp_path / "served"
    return tmp_path / "got" / "file.pth"


def get(hub: StandInHub, target: Path, digest: Digest | None = DIGEST) -> list[int]:
    """Downloads the file, and returns the numbers of bytes that were told on the way."""
    told: list[int] = []
    download(hub.address + NAME, target, size=len(DATA), digest=digest, on_bytes=told.append)
    return told


def part_of(target: Path) -> Path:
    return target.with_name("file.pth.part")


def test_a_whole_file(hub: StandInHub, target: Path) -> None:
    assert size_of(hub.address + NAME) == len(DATA)
    told = get(hub, target)
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["file.pth"]
    assert told == sorted(told)
    assert told[0] == 0
    assert told[-1] == len(DATA)
    assert len(told) > 10


def test_a_broken_connection_is_taken_up_within_the_same_call(
    hub: StandInHub, target: Path
) -> None:
    hub.cuts[NAME] = [500_000, 200_000]
    told = get(hub, target)
    assert target.read_bytes() == DATA
    first, second, third = hub.transfers(NAME)
    assert first is None
    assert second is not None
    assert third is not None
    assert 400_000 < second <= 500_000
    assert second < third <= second + 200_000
    assert told[-1] == len(DATA)


def test_an_interrupted_file_is_continued_by_the_next_call(hub: StandInHub, target: Path) -> None:
    hub.cuts[NAME] = [700_000]
    hub.dies = True
    with pytest.raises(Exception, match="500 Internal Server Error"):
        get(hub, target)
    assert not target.exists()
    there = unfinished_bytes(target)
    assert 600_000 < there <= 700_000
    assert part_of(target).read_bytes() == DATA[:there]
    hub.broken, hub.requests = False, []
    told = get(hub, target)
    assert hub.transfers(NAME) == [there]
    assert told[0] == there
    assert target.read_bytes() == DATA
    assert not part_of(target).exists()


def test_a_corrupted_file_is_deleted_and_named(hub: StandInHub, target: Path) -> None:
    hub.corrupt.add(NAME)
    with pytest.raises(
        ModelError, match=r"^file\.pth: expected content .*was deleted, run"
    ) as error:
        get(hub, target)
    assert DIGEST.digits in str(error.value)
    assert list(target.parent.iterdir()) == []
    hub.corrupt.clear()
    get(hub, target)
    assert target.read_bytes() == DATA


def test_a_corrupted_rest_is_found_too(hub: StandInHub, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(b"other bytes than the server's")
    with pytest.raises(ModelError, match="was deleted"):
        get(hub, target)
    get(hub, target)
    assert target.read_bytes() == DATA


def test_an_old_file_stays_until_the_new_one_is_whole(hub: StandInHub, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"old")
    hub.corrupt.add(NAME)
    with pytest.raises(ModelError):
        get(hub, target)
    assert target.read_bytes() == b"old"
    hub.corrupt.clear()
    get(hub, target)
    assert target.read_bytes() == DATA


def test_a_rest_that_is_too_long_is_dropped(hub: StandInHub, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(DATA + b"more")
    get(hub, target)
    assert hub.transfers(NAME) == [None]
    assert target.read_bytes() == DATA


def test_a_rest_that_is_complete_is_not_asked_for(hub: StandInHub, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(DATA)
    get(hub, target)
    assert hub.requests == []
    assert target.read_bytes() == DATA


def test_a_server_that_cannot_continue_sends_all_again(hub: StandInHub, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(DATA[:300_000])
    hub.ranges = False
    told = get(hub, target)
    assert target.read_bytes() == DATA
    assert told[-1] == len(DATA)


def test_a_file_of_another_size_than_told_is_no_success(hub: StandInHub, target: Path) -> None:
    with pytest.raises(OSError, match="should be of size"):
        download(hub.address + NAME, target, size=len(DATA) + 1)
    assert not target.exists()


def test_without_a_known_size_it_begins_anew(hub: StandInHub, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(DATA[:300_000])
    download(hub.address + NAME, target, size=None, digest=DIGEST)
    assert hub.transfers(NAME) == [None]
    assert target.read_bytes() == DATA


def test_two_at_once_do_not_write_into_one_file(hub: StandInHub, target: Path) -> None:
    target.parent.mkdir()
    other = FileLock(target.with_name("file.pth.part.lock"))
    with other, pytest.raises(ModelError, match="another process is downloading it"):
        get(hub, target)
    get(hub, target)
    assert target.read_bytes() == DATA


def test_a_full_disk_is_told_before_the_download(
    hub: StandInHub, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(target.parents[1])._replace(free=999_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ModelError, match=r"expected 0\.0 GB of free space for file\.pth"):
        get(hub, target)
    assert hub.requests == []


def test_digests_of_git(tmp_path: Path) -> None:
    # `printf 'Hello, World!' | git hash-object --stdin`
    (tmp_path / "file").write_bytes(b"Hello, World!")
    digest = Digest("git-sha1", "b45ef6fec89518d314f546fd6c3025367b721684")
    assert digest.matches(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"Hello, World?")
    assert not digest.matches(tmp_path / "file")
    assert not digest.matches(tmp_path / "none")
