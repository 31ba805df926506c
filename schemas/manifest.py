"""Manifest: `BANK/manifests/000001.json` and on; the highest number *is* the bank.

A manifest names everything that belongs to its version, with checksums, and carries a digest of
itself. It appears whole, under a number that only one writer can get, and is never changed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from schemas.errors import BankDamaged, BankError, OutputError
from schemas.files import canonical_json, publish_new, sha256_bytes
from schemas.records import (
    CategoryRecord,
    Count,
    FileRecord,
    ModelRecord,
    Record,
    Sha256,
    ShardRecord,
)

__all__ = [
    "CategoryRecord",
    "FileRecord",
    "Manifest",
    "ModelRecord",
    "ShardRecord",
    "commit_manifest",
    "list_versions",
    "next_version",
    "read_manifest",
]

FORMAT: Final = "rim-bank"
FORMAT_VERSION: Final = 1
_FILE_NAME = re.compile(r"(\d{6,})\.json")


class Manifest(Record):
    """One version of a bank.

    created: ISO 8601, UTC. settings: of `schemas.settings.Settings`, as JSON. dimension: length of
    the embeddings. index, prototypes: derived from the shards, and can be made anew; None if the
    version has none. seconds: by stage, of the build that made this version. digest: SHA-256 of the
    canonical JSON of all the rest, set when the manifest is committed.
    """

    format: Literal["rim-bank"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    version: Annotated[int, Field(ge=1)]
    created: str
    settings: dict[str, Any]
    build_hash: Sha256
    vocabulary: tuple[CategoryRecord, ...]
    background: bool
    next_category_id: Count
    dimension: Annotated[int, Field(ge=1)]
    images_per_category: Annotated[int, Field(ge=1)]
    shards: tuple[ShardRecord, ...]
    index: FileRecord | None = None
    prototypes: FileRecord | None = None
    verdicts: FileRecord | None = None
    models: dict[str, ModelRecord]
    libraries: dict[str, str]
    seconds: dict[str, float]
    digest: str = ""


def manifests_folder(bank: Path) -> Path:
    """Where a bank's manifests are."""
    return bank / "manifests"


def manifest_path(bank: Path, version: int) -> Path:
    """The file of one version."""
    return manifests_folder(bank) / f"{version:06d}.json"


def list_versions(bank: Path) -> list[int]:
    """The numbers of a folder's manifests, ascending; empty if it is no bank."""
    names = (_FILE_NAME.fullmatch(path.name) for path in manifests_folder(bank).glob("*.json"))
    return sorted(int(match[1]) for match in names if match)


def next_version(bank: Path) -> int:
    """The number that the next manifest of this folder gets."""
    return max(list_versions(bank), default=0) + 1


def commit_manifest(bank: Path, manifest: Manifest) -> Manifest:
    """Publishes a version, whose number must be free; returns it with its digest.

    Everything it names must be on the disk already. Raises OutputError if another build has taken
    the number, or the file cannot be written.
    """
    content = manifest.model_dump(mode="json")
    content["digest"] = _digest(content)
    path = manifest_path(bank, manifest.version)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        publish_new(path, json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8"))
    except FileExistsError as error:
        raise OutputError(
            f"{path}: expected a free number, but another build has published version "
            f"{manifest.version} meanwhile; run yours again"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    return manifest.model_copy(update={"digest": content["digest"]})


def read_manifest(bank: Path, version: int | None = None) -> Manifest:
    """One version of a bank, by default the highest.

    Raises BankError if the folder is no bank, has no such version, or was written by a newer rim;
    BankDamaged if the manifest is not what was written: the message names the last good one.
    """
    versions = list_versions(bank)
    if not versions:
        raise BankError(_no_bank(bank))
    if version is None:
        version = versions[-1]
    elif version not in versions:
        raise BankError(f"{bank} has no version {version}; it has {', '.join(map(str, versions))}")
    try:
        return _read(manifest_path(bank, version), version)
    except BankDamaged as error:
        earlier = [number for number in versions if number < version]
        raise BankDamaged(f"{error}; {_last_good(bank, earlier)}") from error


def _read(path: Path, version: int) -> Manifest:
    """One manifest, or BankDamaged saying what is wrong with it."""
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise BankDamaged(f'{path}: expected a manifest with "format": "{FORMAT}"')
        digest = _digest(content)
    except OSError as error:
        raise BankDamaged(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise BankDamaged(f"{path}: expected JSON, found: {error}") from error
    if content.get("digest") != digest:
        raise BankDamaged(f"{path}: its content is not what was written (digest differs)")
    if content.get("format_version") != FORMAT_VERSION:
        raise BankError(
            f"{path}: expected format version {FORMAT_VERSION}, found "
            f"{content.get('format_version')}; it needs a newer rim"
        )
    try:
        manifest = Manifest.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BankDamaged(f"{path}: {place}: {first['msg']}") from error
    if manifest.version != version:
        raise BankDamaged(f"{path}: it says that it is version {manifest.version}")
    return manifest


def _last_good(bank: Path, earlier: list[int]) -> str:
    for version in reversed(earlier):
        try:
            _read(manifest_path(bank, version), version)
        except (BankDamaged, BankError):
            continue
        return f"the last good one is version {version}: rim.open({str(bank)!r}, version={version})"
    return "there is no earlier good one"


def _digest(content: dict[str, Any]) -> str:
    """SHA-256 of all but the digest; ValueError for what JSON cannot say, such as NaN."""
    return sha256_bytes(
        canonical_json({key: value for key, value in content.items() if key != "digest"})
    )


def _no_bank(bank: Path) -> str:
    if not bank.exists():
        return f"expected a bank at {bank}, found nothing there; rim build makes one"
    if (bank / "build.json").exists():
        return f"{bank} holds an unfinished build; run the same rim build again to finish it"
    return f"expected a bank, found no manifest in {bank}; is it the folder that rim build made?"
