"""The files that say what a bank is: numbered manifests, and `build.json` of an unfinished build.

The highest manifest, `BANK/manifests/NNNNNN.json`, *is* the bank. A manifest appears whole, under a
number that only one writer can get, and is never changed. `build.json` is written before the first
shard: it settles which category has which id, so that an interrupted build goes on with the same
ones. Both carry a digest of themselves (`schemas.store.sealed`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import ValidationError

from schemas.errors import BankDamaged, BankError, OutputError
from schemas.manifest import (
    FORMAT,
    FORMAT_VERSION,
    READER_FLAGS,
    WRITER_FLAGS,
    BuildPlan,
    Manifest,
)
from schemas.store.files import fsync_folder, make_folder, publish_new, write_atomic
from schemas.store.sealed import digest_of, read_sealed, seal
from schemas.text import printable

PLAN_NAME = "build.json"
_MANIFEST_NAME = re.compile(r"(\d{6,})\.json")


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
        names = [path.name for path in manifests_folder(bank).glob("*.json")]
    except PermissionError as error:
        raise BankError(f"{bank}: expected a bank that can be read ({error.strerror})") from error
    matches = [_MANIFEST_NAME.fullmatch(name) for name in names]
    return sorted(int(match[1]) for match in matches if match)


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


def write_plan(bank: Path, plan: BuildPlan) -> None:
    """Writes the plan, replacing an older one, in a single step; OutputError if it cannot."""
    try:
        make_folder(bank)
        write_atomic(bank / PLAN_NAME, seal(plan.model_dump(mode="json")))
    except OSError as error:
        raise OutputError(f"cannot write {bank / PLAN_NAME}: {error.strerror}") from error


def read_plan(bank: Path) -> BuildPlan | None:
    """The plan of an unfinished build, or None if there is none; BankDamaged if unreadable."""
    path = bank / PLAN_NAME
    if not path.exists():
        return None
    try:
        content = read_sealed(path)
    except BankDamaged as error:
        raise BankDamaged(
            f"{error}; to set it aside, the finished shards stay: rim verify --repair"
        ) from error
    del content["digest"]
    try:
        return BuildPlan.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise BankDamaged(
            f"{path}: expected a build's plan, found: {error.errors()[0]['msg']}; was it written "
            "by another rim? Finish the build with that one, or start again with --overwrite"
        ) from error


def remove_plan(bank: Path) -> None:
    """Deletes the plan: the build is finished."""
    (bank / PLAN_NAME).unlink(missing_ok=True)
    fsync_folder(bank)


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
