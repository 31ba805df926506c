"""A folder of photos, `DIR/CATEGORY/NAME.jpg` and perhaps `NAME.mask.png`: listed and read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bank_builder.sources.base import SourceImage
from foundation.images.image_file import open_image
from foundation.images.reading import IMAGE_SUFFIXES, read_image
from schemas.digests import sha256_file
from schemas.errors import ImageError, UsageError
from schemas.records import CategoryRecord, PhotoRecord
from schemas.text import hidden_character, printable, shortened
from schemas.vocabulary import name_key

MASK_ENDING = ".mask.png"
LONG_SIDE = 1024
"""A larger photo is stored with its long side at so many pixels [ours]: SAM sees no more than 1024,
the patch features less."""

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
    """Lists the photos of every category by its name, sorted by file; reads them for checksums.

    A category's folder has its name, or one of its synonyms, in any spelling that the vocabulary
    takes for the same; several folders of one category are put together. A file is a photo by its
    ending (`foundation.images.reading.IMAGE_SUFFIXES`). Hidden files, other files and deeper
    folders are no photos. A link is followed where it stays within DIR; one that leads out of it is
    not used, so that a link cannot bring other files of the machine into a bank. Nor is a name with
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
        categories = refused or [record.name for record in lacking]
        names = shortened([printable(one) for one in categories])
        there = shortened([printable(one) for one in folders]) or "none"
        raise UsageError(
            f"{folder}: expected photos in a folder of the category's name, found none of {names}; "
            f"folders there: {there}. Add photos, or leave the category out of the vocabulary"
        )
    known = {name_key(name) for name in others}
    unknown = [
        name for name, record in folders.items() if record is None and name_key(name) not in known
    ]
    _warn(f"{folder}: no category is called", unknown)
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
    """Lists the entries of DIR or a folder of it that may be used, by name; the rest is logged."""
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
    """The first names, printable."""
    return shortened([printable(name) for name in names])


def read_photo(photo: FoundPhoto) -> SourceImage:
    """Reads a photo the way a viewer shows it, and its mask; both scaled down if they are large.

    The photo is scaled by averaging areas, the mask by nearest neighbours; a photo
    without a mask is segmented after scaling.

    Raises:
        ImageError: photo or mask cannot be read, the mask's size is not the (upright) photo's, or a
            file is not the one that was listed. The message names the file relative to the folder
            of photos, so that a bank says the same wherever the folder is.
    """
    named = photo.record.file
    _check_unchanged(photo.path, photo.record.sha256, named)
    image = read_image(photo.path, named)
    mask = None
    if photo.mask is not None:
        _check_unchanged(photo.mask, photo.record.mask_sha256, f"the mask of {named}")
        mask = read_mask(photo.mask, (image.shape[0], image.shape[1]), f"the mask of {named}")
    return _scaled(image, mask)


def read_mask(path: Path, size: tuple[int, int], named: str) -> NDArray[np.bool_]:
    """Reads a mask: True where the file's pixels are not black, and not wholly transparent.

    Args:
        path: a PNG of any kind.
        size: (height, width) that it must have.
        named: the file in messages.

    Raises:
        ImageError: it is no PNG, damaged, or of another size.
    """
    height, width = size
    with open_image(path, formats=("PNG",), what="mask", named=named) as image:
        if image.size == (width, height):
            return _not_black(image)
        found = f"{image.size[0]} x {image.size[1]}"
    raise ImageError(
        f"{named}: expected the photo's size, {width} x {height} pixels, found {found}"
    )


def _not_black(image: Image.Image) -> NDArray[np.bool_]:
    if image.mode == "P" or image.has_transparency_data:
        image = image.convert("RGBA")
    values: NDArray[np.bool_] = np.asarray(image) != 0
    if image.mode == "RGBA":
        values = values[..., :3] & values[..., 3:]
    return values if values.ndim == 2 else np.logical_or.reduce(values, axis=2)


def _scaled(image: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> SourceImage:
    """The image with its long side at most LONG_SIDE, and its mask of the same size."""
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale >= 1:
        return SourceImage(image, mask)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smaller = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    if mask is None:
        return SourceImage(smaller)
    grey = Image.fromarray(mask.astype(np.uint8))
    return SourceImage(smaller, np.asarray(grey.resize(size, Image.Resampling.NEAREST)) > 0)


def _check_unchanged(path: Path, sha256: str | None, named: str) -> None:
    """ImageError unless the file has the checksum that it was listed with."""
    found = checksum(path)
    if found is None:
        raise ImageError(f"{named}: cannot be read")
    if found != sha256:
        raise ImageError(f"{named}: it has changed since the build began")
