"""Finding a model's files on this machine or the hub, and the fingerprint of their content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from foundation.download import Digest, Transfer, Watch, download, size_of, unfinished_bytes
from foundation.hub import cached_snapshot, fetch_snapshot, is_used
from foundation.missing import missing_model
from schemas.errors import ModelError
from schemas.files import sha256_file
from schemas.lfs import LFS_HINT, is_lfs_pointer
from schemas.resources import data_folder
from schemas.settings import ModelSource

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SHA256_PREFIX = re.compile(r"[-_]([0-9a-f]{6,64})\.\w+$")
# Unencrypted only where nobody is in between: a mirror or tunnel on this very machine.
_ADDRESS = re.compile(r"https://|http://(127\.0\.0\.1|localhost)(:\d+)?/")


def resolve(
    source: ModelSource,
    role: str,
    *,
    offline: bool = True,
    preset: str = "",
    watch: Watch | None = None,
) -> Path:
    """The folder or file that a model source names.

    A location is, in this order: an absolute path, a path inside the data folder, an https
    address of one file, a hub id "owner/name".

    Args:
        source: what the settings say about the model.
        role: the model's key in the settings' section `models`, for messages.
        offline: take only what is on this machine already; otherwise download what is missing.
        preset: name of the preset that the settings come from, for messages.
        watch: called often during a download.

    Raises:
        ModelError: nothing is there, it could not be downloaded, or Git LFS pointers stand in place
            of the files.
    """
    local = local_path(source)
    if local is not None:
        _refuse_pointers(local, role)
        return local
    if not is_remote(source):
        raise ModelError(
            f"models.{role}: expected a model at {data_folder() / source.location}, found nothing; "
            f"correct models.{role}.location or put the files there"
        )
    if offline:
        try:
            return _cached(source)
        except Exception as error:  # the hub's client lets errors of several libraries through
            raise missing_model(source, role, preset) from error
    return fetch(source, role, watch=watch)


def _refuse_pointers(path: Path, role: str) -> None:
    for file in model_files(path):
        if is_lfs_pointer(file):
            raise ModelError(f"models.{role}: expected a model's file, found {file}, {LFS_HINT}")


def local_path(source: ModelSource) -> Path | None:
    """The absolute path, or the one inside the data folder, that a source names, if it is there."""
    local = data_folder() / source.location  # an absolute location stays itself
    return local if local.exists() else None


def is_remote(source: ModelSource) -> bool:
    """Whether a source names something that can be downloaded: an address or a hub id."""
    return is_address(source.location) or _HUB_ID.fullmatch(source.location) is not None


def is_address(location: str) -> bool:
    """Whether a location is the address of one file: https, or http on this machine."""
    return _ADDRESS.match(location) is not None


def fetch(
    source: ModelSource,
    role: str,
    *,
    revision: str | None = None,
    check: bool = False,
    watch: Watch | None = None,
) -> Path:
    """Downloads what is missing of a model that an address or a hub id names.

    Args:
        revision: instead of the source's own, to get a commit again.
        check: read also what is there already, and download anew what is damaged.

    Raises:
        ModelError: it could not be downloaded, or arrived damaged. Without `check`, a hub that is
            out of reach is none if the model is here already.
    """
    revision = revision or source.revision
    try:
        if is_address(source.location):
            return _checkpoint(source.location, check, watch)
        return fetch_snapshot(source.location, revision, check=check, watch=watch)
    except ModelError as error:
        raise ModelError(f"models.{role}: {error}") from error
    except Exception as error:  # the hub's client lets errors of several libraries through
        if not check:
            with contextlib.suppress(Exception):
                return _cached(source)
        raise ModelError(
            f"models.{role}: {source.location} could not be downloaded ({_reason(error)}); "
            "check name and connection, then run the same command again: it goes on from there"
        ) from error


def model_files(path: Path) -> list[Path]:
    """The files that make up a model, sorted by name: weights, configurations, tokenizers.

    Args:
        path: a single file, or a folder as transformers and diffusers save them. Pictures, notes,
            hidden files and second copies of the weights in other precisions are left out.
    """
    if path.is_file():
        return [path]
    names = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    return [names[name] for name in sorted(names) if is_used(name)]


def fingerprint(path: Path) -> str:
    """SHA-256 over the names, relative to the folder, and the contents of a model's files.

    The same files give the same fingerprint wherever they lie; a single file's own name does not
    count.

    Raises:
        ModelError: there are no files, or they cannot be read.
    """
    return fingerprint_of(file_hashes(path))


def fingerprint_of(hashes: dict[str, str]) -> str:
    """The fingerprint of a model whose files have these SHA-256; see `file_hashes`."""
    pairs = [[name, hashes[name]] for name in sorted(hashes)]
    return hashlib.sha256(json.dumps(pairs).encode("utf-8")).hexdigest()


def file_hashes(path: Path, watch: Watch | None = None) -> dict[str, str]:
    """SHA-256 of each of a model's files by its name, relative to the folder; "" for a single file.

    watch: called before each file is read.

    Raises:
        ModelError: there are no files, or they cannot be read.
    """
    files = model_files(path)
    if not files:
        raise ModelError(f"{path}: expected a model's files, found none")
    hashes = {}
    done, total = 0, sum(file.stat().st_size for file in files)
    try:
        for file in files:
            name = "" if file == path else file.relative_to(path).as_posix()
            if watch is not None:
                watch(Transfer(name or path.name, done, total, done, checking=True))
            hashes[name] = sha256_file(file)
            done += file.stat().st_size
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return hashes


def _reason(error: Exception) -> str:
    """The part of an HTTP client's many lines that says what happened."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith("For more information")]
    return " ".join(telling[:2]) or type(error).__name__


def checkpoints_folder() -> Path:
    """Where files from an address are kept: where torch keeps its checkpoints."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _cached(source: ModelSource) -> Path:
    """What was downloaded before; some exception if it is not there."""
    if not is_address(source.location):
        return cached_snapshot(source.location, source.revision)
    file = checkpoints_folder() / _file_name(source.location)
    if not file.is_file():
        raise FileNotFoundError(f"no {file}")
    return file


def _checkpoint(address: str, check: bool, watch: Watch | None) -> Path:
    """One file from the web.

    Where the name carries the first digits of the content's SHA-256, as those of the official SAM
    checkpoints do, the content is compared with them.
    """
    name = _file_name(address)
    file = checkpoints_folder() / name
    digits = _SHA256_PREFIX.search(name)
    digest = Digest("sha256", digits.group(1)) if digits else None
    if file.is_file():
        if check and digest is not None and watch is not None:
            there = file.stat().st_size
            watch(Transfer(name, there, there, there, checking=True))
        if not check or digest is None or digest.matches(file):
            return file
        file.unlink()
    size = size_of(address)
    kept = unfinished_bytes(file)

    def report(done: int) -> None:
        if watch is not None:
            watch(Transfer(name, done, size or 0, kept))

    download(address, file, digest=digest, size=size, on_bytes=report if watch else None)
    return file


def _file_name(address: str) -> str:
    return Path(urlsplit(address).path).name
