"""Downloads one file: resumed where it stopped, checked, and only then under its name."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from foundation.weights.cache import known_sha256, note_download
from schemas.errors import ModelError
from schemas.store.files import fsync_file, fsync_folder

_UNFINISHED = ".part"


@dataclass(frozen=True)
class Transfer:
    """How far the files of one model are.

    Attributes:
        file: the one that is worked on.
        done, total: bytes of all files.
        kept: of `done`, those that were on this machine before.
        checking: the file is being read and compared, not downloaded.
    """

    file: str
    done: int
    total: int
    kept: int = 0
    checking: bool = False


Watch = Callable[[Transfer], None]


@dataclass(frozen=True)
class Digest:
    """The digest that a file has to have.

    Attributes:
        algorithm: "git-sha1" is git's SHA-1 of a blob; "named" stands for digits in a file's name,
            which may be of MD5 or of SHA-256.
        digits: the first ones, or all.
    """

    algorithm: Literal["sha256", "git-sha1", "named"]
    digits: str

    def __str__(self) -> str:
        names = {"sha256": "SHA-256", "git-sha1": "SHA-1 of git", "named": "MD5 or SHA-256"}
        return f"{names[self.algorithm]} {self.digits}"

    def found(self, path: Path) -> tuple[str, ...]:
        """The digests that a file has, the expected one first; OSError if unreadable."""
        if self.algorithm == "sha256":
            return (known_sha256(path, read=True),)
        if self.algorithm == "named":
            return _digests(path, hashlib.md5(usedforsecurity=False), hashlib.sha256())
        size = path.stat().st_size
        start = b"blob %d\0" % size
        return _digests(path, hashlib.sha1(start, usedforsecurity=False))

    def matches(self, path: Path) -> bool:
        """Whether a file is there and has the expected content."""
        return path.is_file() and any(one.startswith(self.digits) for one in self.found(path))


def _digests(path: Path, *digests: hashlib._Hash) -> tuple[str, ...]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            for digest in digests:
                digest.update(chunk)
    return tuple(digest.hexdigest() for digest in digests)


def download(
    address: str,
    target: Path,
    *,
    size: int | None,
    digest: Digest | None = None,
    headers: dict[str, Any] | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> None:
    """Downloads one file to `target`, replacing what is there.

    The bytes go to NAME.part beside it. If that is there already, from a transfer that was
    interrupted, the server is asked for the rest only. A broken connection is taken up again a few
    times before this gives up; what has arrived stays for the next call.

    Args:
        size: bytes that the file has to have. If it is not known, the file is
            downloaded from its beginning.
        digest: what the content has to be. Without it only the number of bytes is checked.
        headers: of the request, for example an authorisation.
        on_bytes: called with the number of bytes that are there, kept ones included. Without it,
            huggingface_hub shows a bar on a terminal.

    Raises:
        ModelError: the content is not the expected one, in which case it is deleted, or another
            process downloads the same file, or the disk is too small.
        Exception: of huggingface_hub and its HTTP client, whatever stops the transfer.
    """
    from huggingface_hub.file_download import http_get

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + _UNFINISHED)
    with _alone(part), part.open("ab") as file:
        there = file.tell()
        if size is None or there > size:  # without a size it is not known what is missing
            file.truncate(0)
            there = 0
        _check_space(target.parent, (size or 0) - there, target.name)
        http_get(
            address,
            file,
            resume_size=there,
            headers=headers,
            expected_size=size,
            displayed_filename=target.name,
            tqdm_class=None if on_bytes is None else _reporting_bar(on_bytes),
        )
        file.flush()
        if digest is not None and not digest.matches(part):
            found = " and ".join(digest.found(part))
            part.unlink()
            raise ModelError(
                f"{target.name}: expected content with the {digest}, found {found}; the corrupted "
                "file was deleted, run the same command again"
            )
        fsync_file(part)
        os.replace(part, target)
    fsync_folder(target.parent)
    note_download(target)


def not_ours(path: Path, expected: str) -> ModelError:
    """The error for a file that is not the expected one and that rim did not download itself.

    Another program, or the user, may need it: it is never deleted.

    Args:
        path: of the file, or of a link to it.
        expected: size and digest.
    """
    real = path.resolve()
    name = f"{real}" if real.name == path.name else f"{real} ({path.name})"
    return ModelError(
        f"{name}: expected {expected}, found other content ({path.stat().st_size} "
        "bytes); rim did not download this file and leaves it: move it away, then run the same "
        "command again"
    )


def size_of(address: str) -> int | None:
    """Asks the server how many bytes a file has; None if it does not say.

    Raises:
        Exception: of huggingface_hub and its HTTP client, if there is no such file or connection.
    """
    from huggingface_hub import get_hf_file_metadata

    return get_hf_file_metadata(address, token=False).size  # no token: it is not the hub


def unfinished_bytes(target: Path) -> int:
    """How much of a file has arrived in transfers that were interrupted."""
    try:
        return target.with_name(target.name + _UNFINISHED).stat().st_size
    except OSError:
        return 0


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps two processes from writing into one file, where the file system has locks."""
    from filelock import FileLock, Timeout  # slow to import, and often there is nothing to download

    place = path.with_name(path.name + ".lock")
    lock = FileLock(place, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ModelError(
            f"{path}: expected to be alone with this file, found that another process is "
            "downloading it; wait for that one, then run the same command again"
        ) from error
    except OSError:
        pass  # the folder can have no lock
    try:
        yield
    finally:
        if lock.is_locked:
            # Whoever opens a new one now finds the file whole, or a rest that nobody writes to.
            with contextlib.suppress(OSError):
                place.unlink()
            lock.release()


def _check_space(folder: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"{folder}: expected {needed / 1e9:.1f} GB of free space for {name}, "
            f"found {free / 1e9:.1f} GB; make room, or name another cache folder (HF_HOME, "
            "TORCH_HOME)"
        )


def _reporting_bar(on_bytes: Callable[[int], None]) -> type[Any]:
    """A progress bar for huggingface_hub that shows nothing and passes the bytes on."""

    class Bar:
        def __init__(self, *_: Any, initial: int = 0, **__: Any) -> None:
            self._done = initial
            on_bytes(initial)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def update(self, count: float | None = 1) -> None:
            self._done += int(count or 0)
            on_bytes(self._done)

    return Bar
