"""Finding a model's files on this machine or the hub, and the fingerprint of their content."""

from __future__ import annotations

import hashlib
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from schemas.errors import ModelError
from schemas.files import sha256_file
from schemas.resources import data_folder
from schemas.settings import ModelSource

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SHA256_PREFIX = re.compile(r"[-_]([0-9a-f]{6,64})\.\w+$")
_USED = ("*.json", "*.txt", "*.safetensors", "*.pth", "*.pt")
# Second copies of the same weights that some hub repositories hold.
_UNUSED = ("*.fp16.*", "*non_ema*", "v1-5-pruned*", ".*", "*/.*")


def resolve(source: ModelSource, role: str, *, offline: bool = True) -> Path:
    """The folder or file that a model source names.

    A location is, in this order: an absolute path, a path inside the data folder, an https
    address of one file, a hub id "owner/name".

    Args:
        source: what the settings say about the model.
        role: the model's key in the settings' section `models`, for messages.
        offline: take only what is on this machine already; otherwise download what is missing.

    Raises:
        ModelError: nothing is there, or it could not be downloaded.
    """
    location = source.location
    local = data_folder() / location  # an absolute location stays itself
    if local.exists():
        return local
    if location.startswith("https://"):
        return _download(location, role, offline)
    if _HUB_ID.fullmatch(location):
        return _hub_snapshot(source, role, offline)
    raise ModelError(
        f"models.{role}: expected a model at {local}, found nothing; "
        f"correct models.{role}.location or put the files there"
    )


def model_files(path: Path) -> list[Path]:
    """The files that make up a model, sorted by name: weights, configurations, tokenizers.

    Args:
        path: a single file, or a folder as transformers and diffusers save them. Pictures, notes,
            hidden files and second copies of the weights in other precisions are left out.
    """
    if path.is_file():
        return [path]
    names = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    return [
        names[name]
        for name in sorted(names)
        if any(fnmatchcase(name, pattern) for pattern in _USED)
        and not any(fnmatchcase(name, pattern) for pattern in _UNUSED)
    ]


def fingerprint(path: Path) -> str:
    """SHA-256 over the names, relative to the folder, and the contents of a model's files.

    The same files give the same fingerprint wherever they lie; a single file's own name does not
    count.

    Raises:
        ModelError: there are no files, or they cannot be read.
    """
    files = model_files(path)
    if not files:
        raise ModelError(f"{path}: expected a model's files, found none")
    try:
        pairs = [
            ["" if file == path else file.relative_to(path).as_posix(), sha256_file(file)]
            for file in files
        ]
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return hashlib.sha256(json.dumps(pairs).encode("utf-8")).hexdigest()


def _hub_snapshot(source: ModelSource, role: str, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                source.location,
                revision=source.revision,
                allow_patterns=list(_USED),
                ignore_patterns=list(_UNUSED),
                local_files_only=offline,
            )
        )
    except Exception as error:  # the hub's client lets errors of several libraries through
        raise _missing(source.location, role, offline, error) from error


def _download(address: str, role: str, offline: bool) -> Path:
    """One file from the web, kept where torch keeps its checkpoints.

    Where the name carries the first digits of the content's SHA-256, as those of the official SAM
    checkpoints do, the download is checked against them.
    """
    import torch

    name = Path(urlsplit(address).path).name
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    if file.is_file():
        return file
    if offline:
        raise _missing(address, role, offline, FileNotFoundError(f"not in {file.parent}"))
    digits = _SHA256_PREFIX.search(name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            address, str(file), digits.group(1) if digits else None, progress=False
        )
    except (OSError, RuntimeError) as error:
        raise _missing(address, role, offline, error) from error
    return file


def _missing(location: str, role: str, offline: bool, error: Exception) -> ModelError:
    if offline:
        return ModelError(
            f"models.{role}: expected the weights of {location} on this machine, found none; "
            "run once without --offline to download them, or name a folder that holds them"
        )
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"models.{role}: {location} could not be downloaded ({reason}); "
        "check the name and the connection"
    )
