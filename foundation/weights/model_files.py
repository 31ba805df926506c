"""Finding a model's files on this machine or the hub, and the fingerprint of their content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path

from foundation.weights.cache import known_sha256
from foundation.weights.checkpoint import cached_checkpoint, fetch_checkpoint
from foundation.weights.download import Transfer, Watch
from foundation.weights.hub import cached_snapshot, fetch_snapshot
from foundation.weights.layout import Layout, layout_of
from foundation.weights.missing import Caller, missing_model
from schemas.errors import ModelError
from schemas.lfs import LFS_HINT, is_lfs_pointer
from schemas.resources import data_folder
from schemas.settings import ModelSource

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Unencrypted only where nothing is in between: a mirror or tunnel on this very machine.
_ADDRESS = re.compile(r"https://|http://(127\.0\.0\.1|localhost)(:\d+)?/")


def resolve(
    source: ModelSource,
    role: str,
    *,
    offline: bool = True,
    caller: Caller | None = None,
    watch: Watch | None = None,
) -> Path:
    """The folder or file that a model source names.

    A location is, in this order: an absolute path, a path inside the data folder, an https
    address of one file, a hub id "owner/name".

    Args:
        source: what the settings say about the model.
        role: the model's key in the settings' section `models`, for messages.
        offline: take only what is on this machine already; otherwise download what is missing.
        caller: who needs the model, for messages.
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
        except ModelError as error:
            raise ModelError(f"models.{role}: {error}") from error
        except Exception as error:  # the hub's client lets errors of several libraries through
            raise missing_model(source, role, caller or Caller()) from error
    if _COMMIT.fullmatch(source.revision or ""):
        # A commit never changes: if all of it is here, the hub need not be asked.
        with contextlib.suppress(Exception):
            return _cached(source)
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
        check: read also what is there already, and download again what is damaged and was
            downloaded by rim; what was not is never touched.

    Raises:
        ModelError: it could not be downloaded, arrived damaged, or a damaged one is in its place
            that is not rim's own. Without `check`, a hub that is
            out of reach is none if the model is here already.
    """
    revision = revision or source.revision
    try:
        if is_address(source.location):
            return fetch_checkpoint(source, check, watch)
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
        path: a single file, or a folder as transformers and diffusers save them; see
            `foundation.weights.layout` for what of it counts.
    """
    if path.is_file():
        return [path]
    names = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    try:
        layout = layout_of(names, lambda name: names[name].read_bytes())
    except (ModelError, OSError):  # whoever loads this says what is wrong with it
        layout = Layout()
    return [names[name] for name in sorted(names) if layout.uses(name)]


def check_content(source: ModelSource, role: str, path: Path, found: str) -> None:
    """Compares the fingerprint of a file that an address names with the SHA-256 in the settings.

    Raises:
        ModelError: it is another file.
    """
    if source.sha256 is None or not is_address(source.location):
        return
    if fingerprint_of({"": source.sha256}) != found:
        raise ModelError(
            f"models.{role}: expected a file with the SHA-256 {source.sha256}, found other content "
            f"in {path}; move it away and fetch it again, or correct models.{role}.sha256"
        )


def fingerprint(path: Path, *, read: bool = False) -> str:
    """SHA-256 over the names, relative to the folder, and the contents of a model's files.

    The same files give the same fingerprint wherever they lie; a single file's own name does not
    count.

    Args:
        read: read every file, also those whose SHA-256 is remembered; see `known_sha256`.

    Raises:
        ModelError: there are no files, or they cannot be read.
    """
    return fingerprint_of(file_hashes(path, read=read))


def fingerprint_of(hashes: dict[str, str]) -> str:
    """The fingerprint of a model whose files have these SHA-256; see `file_hashes`."""
    pairs = [[name, hashes[name]] for name in sorted(hashes)]
    return hashlib.sha256(json.dumps(pairs).encode("utf-8")).hexdigest()


def file_hashes(path: Path, watch: Watch | None = None, *, read: bool = False) -> dict[str, str]:
    """SHA-256 of each of a model's files by its name, relative to the folder; "" for a single file.

    Args:
        watch: called before each file is read.
        read: read every file, also those whose SHA-256 is remembered; see `known_sha256`.

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
            hashes[name] = known_sha256(file, read=read)
            done += file.stat().st_size
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return hashes


def _reason(error: Exception) -> str:
    """The part of an HTTP client's many lines that says what happened."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith("For more information")]
    return " ".join(telling[:2]) or type(error).__name__


def _cached(source: ModelSource) -> Path:
    """The model that was downloaded before; some exception if it is not there."""
    if is_address(source.location):
        return cached_checkpoint(source)
    return cached_snapshot(source.location, source.revision)
