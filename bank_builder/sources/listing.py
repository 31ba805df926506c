"""A folder of photos: `DIR/CATEGORY/NAME.jpg`, and beside a photo perhaps `NAME.mask.png`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation.images.reading import IMAGE_SUFFIXES
from schemas.digests import sha256_file
from schemas.errors import UsageError
from schemas.records import CategoryRecord, PhotoRecord
from schemas.text import hidden_character, printable
from schemas.vocabulary import name_key

MASK_ENDING = ".mask.png"
_SHOWN = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundPhoto:
    """A photo as it is now, its file, and the file of its mask if there is one."""

    record: PhotoRecord
    path: Path
    mask: Path | None


def list_photos(
    folder: Path,
    records: Sequence[CategoryRecord],
    may_lack: Collection[str],
    others: Collection[str] = (),
) -> dict[str, list[FoundPhoto]]:
    """The photos of every category by its name, sorted by file; read once for their checksums.

    A category's folder has its name, or one of its synonyms, in any spelling that the vocabulary
    takes for the same; several folders of one category are put together. A file is a photo by its
    ending (`foundation.images.reading.IMAGE_SUFFIXES`). Hidden files, other files and deeper
    folders are
    no photos. A link is followed where it stays within DIR; one that leads out of it is not used,
    so that nobody's files get into a bank by a link in somebody's folder. Nor is a name with
    control characters. What may be a mistake is logged: those two, folders that are no category's,
    masks without a photo, photos outside of any category's folder.

    Args:
        folder: DIR.
        records: the categories.
        may_lack: names of categories that need no photos.
        others: names of further categories; their folders are not looked into.

    Raises:
        UsageError: there is no such folder, a folder belongs to two categories, a category has no
            photo, or no category has one.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise UsageError(f"--source: expected a folder of photos, found {found}: {folder}")
    try:
        entries = _entries(folder, folder)
        folders = _owners([path.name for path in entries if path.is_dir()], records)
        photos: dict[str, list[FoundPhoto]] = {record.name: [] for record in records}
        for name, record in folders.items():
            if record is not None:
                photos[record.name] += _photos_in(folder, folder / name)
    except OSError as error:
        raise UsageError(f"--source: cannot read {error.filename}: {error.strerror}") from error
    lacking = [record for record in records if not photos[record.name]]
    refused = [record.name for record in lacking if record.name not in may_lack]
    if refused or len(lacking) == len(records):
        names = _some(refused or [record.name for record in lacking])
        there = _some(list(folders)) or "none"
        raise UsageError(
            f"{folder}: expected photos in a folder of the category's name, found none of {names}; "
            f"folders there: {there}. Add photos, or leave the category out of the vocabulary"
        )
    known = {name_key(name) for name in others}
    nobodys = [
        name for name, record in folders.items() if record is None and name_key(name) not in known
    ]
    _warn(f"{folder}: no category is called", nobodys)
    outside = [path.name for path in entries if _is_photo(path)]
    _warn(f"{folder}: photos outside of a category's folder", outside)
    return {key: sorted(found, key=lambda one: one.record.file) for key, found in photos.items()}


def _owners(
    names: Sequence[str], records: Sequence[CategoryRecord]
) -> dict[str, CategoryRecord | None]:
    """The category that each folder's name stands for, None if for none; names go above synonyms.

    Raises UsageError for a name that is a synonym of two.
    """
    named = {name_key(record.name): record for record in records}
    called: dict[str, list[CategoryRecord]] = {}
    for record in records:
        for synonym in record.synonyms:
            called.setdefault(name_key(synonym), []).append(record)
    owners: dict[str, CategoryRecord | None] = {}
    for name in names:
        key = name_key(name)
        candidates = [named[key]] if key in named else called.get(key, [])
        if len(candidates) > 1:
            raise UsageError(
                f"--source: the folder {name!r} may be {candidates[0].name!r} or "
                f"{candidates[1].name!r}, it is a synonym of both; call it by the category's name"
            )
        owners[name] = candidates[0] if candidates else None
    return owners


def _photos_in(folder: Path, category: Path) -> list[FoundPhoto]:
    """The photos of one category's folder, sorted by name."""
    masks: dict[str, Path] = {}
    files: list[Path] = []
    for path in _entries(folder, category):
        if _is_mask(path):
            masks[path.name[: -len(MASK_ENDING)]] = path
        elif _is_photo(path):
            files.append(path)
    stems = {path.stem for path in files}
    unused = [str(path.relative_to(folder)) for stem, path in masks.items() if stem not in stems]
    _warn(f"{folder}: masks without a photo", unused)
    return [_found(folder, path, masks.get(path.stem)) for path in files]


def _entries(folder: Path, within: Path) -> list[Path]:
    """What lies in DIR or a folder of it and may be used, sorted by name; the rest is logged."""
    entries = sorted(path for path in within.iterdir() if not path.name.startswith("."))
    relevant = [path for path in entries if path.is_dir() or _is_photo(path) or _is_mask(path)]
    odd = {path for path in relevant if hidden_character(path.name) is not None}
    astray = {path for path in relevant if path.is_symlink() and not _stays(folder, path)} - odd
    shown = [str(path.relative_to(folder)) for path in relevant if path in odd]
    _warn(f"{folder}: names with control characters, or not in UTF-8", shown)
    shown = [str(path.relative_to(folder)) for path in relevant if path in astray]
    _warn(f"{folder}: links that lead out of this folder (put the photos themselves there)", shown)
    return [path for path in relevant if path not in odd | astray]


def _stays(folder: Path, path: Path) -> bool:
    """Whether a link ends within DIR."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to itself
        return False


def _found(folder: Path, path: Path, mask: Path | None) -> FoundPhoto:
    record = PhotoRecord(
        file=path.relative_to(folder).as_posix(),
        sha256=checksum(path),
        mask_sha256=None if mask is None else checksum(mask),
    )
    return FoundPhoto(record, path, mask)


def checksum(path: Path) -> str | None:
    """The SHA-256 of a file, None if it cannot be read, or is a pipe or device without an end."""
    try:
        return sha256_file(path) if path.is_file() else None
    except OSError:
        return None


def _is_mask(path: Path) -> bool:
    return path.name.lower().endswith(MASK_ENDING) and not path.name.startswith(".")


def _is_photo(path: Path) -> bool:
    ours = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    return ours and not path.is_dir() and not _is_mask(path)


def _warn(what: str, names: Sequence[str]) -> None:
    if names:
        logger.warning("%s: %s; not used", what, _some(names))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(printable, names[:_SHOWN])) + more
