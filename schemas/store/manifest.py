"""Manifest: `BANK/manifests/000001.json` and on; the highest number *is* the bank.

A manifest names everything that belongs to its version, with checksums, and carries a digest of
itself. It appears whole, under a number that only one writer can get, and is never changed.
`FORMAT.md` beside this file specifies all of it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from schemas.errors import BankDamaged, BankError, OutputError
from schemas.ids import MAX_NUMBER
from schemas.records import (
    CategoryRecord,
    Count,
    Dimension,
    FileRecord,
    ModelRecord,
    Record,
    Sha256,
    ShardRecord,
)
from schemas.store.files import make_folder, publish_new
from schemas.store.sealed import digest_of, read_sealed, seal
from schemas.text import printable

__all__ = [
    "CategoryRecord",
    "FileRecord",
    "Manifest",
    "ModelRecord",
    "ShardRecord",
    "commit_manifest",
    "list_versions",
    "next_version",
    "no_bank",
    "read_manifest",
]

FORMAT: Final = "rim-bank"
FORMAT_VERSION: Final = 1
READER_FLAGS: Final[frozenset[str]] = frozenset()
"""What a bank may ask of its reader that this rim can do; a bank that asks for more is refused."""
WRITER_FLAGS: Final[frozenset[str]] = frozenset()
"""The same of who adds a version to it."""
_FILE_NAME = re.compile(r"(\d{6,})\.json")


class Manifest(Record):
    """One version of a bank.

    reader_flags, writer_flags: features of the format that a reader, or who adds a version, must
    know of. created: ISO 8601, UTC. settings: of `schemas.settings.Settings`, as JSON. dimension:
    length of the embeddings. index, prototypes: derived from the shards, and can be made anew; None
    if the version has none. feature_rows: SHA-256 over the feature_ids of all accepted features in
    the order of the index's rows, which the index and the shards must agree on. seconds: by stage,
    of the build that made this version.
    """

    format: Literal["rim-bank"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    reader_flags: tuple[str, ...] = ()
    writer_flags: tuple[str, ...] = ()
    version: Annotated[int, Field(ge=1)]
    created: str
    settings: dict[str, Any]
    build_hash: Sha256
    vocabulary: tuple[CategoryRecord, ...]
    background: bool
    next_category_id: Count
    dimension: Dimension
    images_per_category: Annotated[int, Field(ge=1, le=MAX_NUMBER + 1)]
    shards: tuple[ShardRecord, ...]
    index: FileRecord | None = None
    prototypes: FileRecord | None = None
    feature_rows: Sha256 | None = None
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
    """The numbers of a folder's manifests, ascending; empty if it is no bank.

    Raises BankError if the folder may not be read.
    """
    try:
        names = [_FILE_NAME.fullmatch(one.name) for one in manifests_folder(bank).glob("*.json")]
    except PermissionError as error:
        raise BankError(f"{bank}: expected a bank that can be read ({error.strerror})") from error
    return sorted(int(match[1]) for match in names if match)


def next_version(bank: Path) -> int:
    """The number that the next manifest of this folder gets."""
    return max(list_versions(bank), default=0) + 1


def commit_manifest(bank: Path, manifest: Manifest) -> Manifest:
    """Publishes a version, whose number must be free; returns it with its digest.

    Everything it names must be on the disk already. Raises OutputError if another build has taken
    the number, OSError if the file cannot be written.
    """
    path = manifest_path(bank, manifest.version)
    data = seal(manifest.model_dump(mode="json"))
    make_folder(path.parent)
    try:
        publish_new(path, data)
    except FileExistsError as error:
        raise OutputError(
            f"{path}: expected a free number, but another build has published version "
            f"{manifest.version} meanwhile; run yours again"
        ) from error
    return manifest.model_copy(update={"digest": digest_of(data)})


def read_manifest(bank: Path, version: int | None = None, *, to_write: bool = False) -> Manifest:
    """One version of a bank, by default the highest.

    to_write: whether to refuse, too, what only an older rim may read but not add a version to.

    Raises BankError if the folder is no bank, has no such version, or was written by a newer rim;
    BankDamaged if the manifest is not what was written: the message names the last good one.
    """
    versions = list_versions(bank)
    if not versions:
        raise BankError(no_bank(bank))
    if version is None:
        version = versions[-1]
    elif version not in versions:
        raise BankError(f"{bank} has no version {version}; it has {', '.join(map(str, versions))}")
    try:
        manifest = _read(manifest_path(bank, version), version)
    except BankDamaged as error:
        earlier = [number for number in versions if number < version]
        raise BankDamaged(f"{error}; {_last_good(bank, earlier)}") from error
    unknown = [flag for flag in manifest.writer_flags if flag not in WRITER_FLAGS]
    if to_write and unknown:
        raise BankError(
            f"{bank} was made by a newer rim: this one can read it, but not add to it (it does not "
            f"know {', '.join(unknown)}); install a newer rim"
        )
    return manifest


def _read(path: Path, version: int) -> Manifest:
    """One manifest; BankDamaged saying what is wrong with it, BankError if it is too new."""
    content = read_sealed(path)
    if content.get("format") != FORMAT:
        raise BankDamaged(f'{path}: expected a manifest with "format": "{FORMAT}"')
    flags = content.get("reader_flags")
    unknown = (
        [flag for flag in flags if flag not in READER_FLAGS] if isinstance(flags, list) else []
    )
    if content.get("format_version") != FORMAT_VERSION:
        unknown = [f"format version {content.get('format_version')}"]
    if unknown:
        raise BankError(
            f"{path}: made by a newer rim (this one does not know "
            f"{printable(', '.join(map(str, unknown)))}); install a newer rim"
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


def no_bank(bank: Path) -> str:
    """Why a folder without a manifest cannot be opened, and what to do."""
    if not bank.exists():
        return f"expected a bank at {bank}, found nothing there; rim build makes one"
    if not bank.is_dir():
        return f"expected a bank, which is a folder, found no folder at {bank}"
    if (bank / "build.json").exists():
        return f"{bank} holds an unfinished build; run the same rim build again to finish it"
    if any((bank / "shards").glob("c*")):
        return f"{bank} holds finished shards and no version; run the same rim build again"
    above = bank.resolve().parent
    is_inside = bool(list_versions(above))
    guess = f"did you mean {above}?" if is_inside else "is it the folder that rim build made?"
    return f"expected a bank, found no manifest in {bank}; {guess}"
