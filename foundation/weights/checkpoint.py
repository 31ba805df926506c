"""Models that are one file at an address: its place on this machine, and its check."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from foundation.weights.cache import is_own_download
from foundation.weights.download import (
    Digest,
    Transfer,
    Watch,
    download,
    not_ours,
    size_of,
    unfinished_bytes,
)
from schemas.errors import ModelError
from schemas.settings import ModelSource

# As the names of the official SAM checkpoints end. Digits alone may be a date.
_DIGITS = re.compile(r"[-_]([0-9a-f]{6,64})\.\w+$")


def checkpoints_folder() -> Path:
    """The folder of files from an address: where torch has its checkpoints."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def checkpoint_path(source: ModelSource) -> Path:
    """The place of the file of a source's address, whether or not it is there."""
    return checkpoints_folder() / Path(urlsplit(source.location).path).name


def expected_digest(source: ModelSource) -> Digest | None:
    """The digest that the file has to have: the settings' SHA-256, or else digits in its name.

    The official SAM checkpoints have the first of their MD5 there, others of their SHA-256.
    """
    if source.sha256 is not None:
        return Digest("sha256", source.sha256)
    digits = _DIGITS.search(Path(urlsplit(source.location).path).name)
    return Digest("named", digits.group(1)) if digits else None


def cached_checkpoint(source: ModelSource) -> Path:
    """The file of a source's address that was downloaded before; nothing is asked of a server.

    Raises:
        FileNotFoundError: it is not there.
        ModelError: a file of its name is there and has another size.
    """
    file = checkpoint_path(source)
    if not file.is_file():
        raise FileNotFoundError(f"no {file}")
    if source.size not in (None, file.stat().st_size):
        raise _wrong(file, source)
    return file


def fetch_checkpoint(source: ModelSource, check: bool, watch: Watch | None) -> Path:
    """Downloads the file of a source's address, unless it is there.

    Args:
        check: compare the content of a file that is there; otherwise its size is, if it is known.
        watch: called often during the download.

    Raises:
        ModelError: another file is there under its name that rim has not downloaded (its own it
            downloads again), the server has another file, or what arrived is damaged.
        Exception: of huggingface_hub and its HTTP client, whatever stops the transfer.
    """
    file = checkpoint_path(source)
    digest = expected_digest(source)
    if file.is_file():
        if _is_good(file, source, digest if check else None, watch):
            return file
        if not is_own_download(file):
            raise _wrong(file, source)
    size = size_of(source.location)
    if size is not None and source.size not in (None, size):
        raise ModelError(
            f"{source.location}: expected a file of {source.size} bytes, found that the server has "
            f"one of {size}; correct the location, or its size and sha256"
        )
    size = source.size or size
    kept = unfinished_bytes(file)

    def report(done: int) -> None:
        if watch is not None:
            watch(Transfer(file.name, done, size or 0, kept))

    try:
        download(
            source.location, file, digest=digest, size=size, on_bytes=report if watch else None
        )
    except ModelError as error:
        if digest is None or digest.algorithm != "named":
            raise
        raise ModelError(
            f"{error}; if the digits in the name are no digest, set the file's sha256"
        ) from error
    return file


def _is_good(file: Path, source: ModelSource, digest: Digest | None, watch: Watch | None) -> bool:
    there = file.stat().st_size
    if source.size not in (None, there):
        return False
    if digest is None:
        return True
    if watch is not None:
        watch(Transfer(file.name, there, there, there, checking=True))
    return digest.matches(file)


def _wrong(file: Path, source: ModelSource) -> ModelError:
    size = f"{source.size} bytes" if source.size is not None else "a file"
    digest = expected_digest(source)
    return not_ours(file, f"{size} with the {digest}" if digest is not None else size)
