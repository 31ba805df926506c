"""Files of a query: which photos go in, what may come out, and the results of a single photo."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.images.reading import IMAGE_SUFFIXES
from query.exports.base import ResultFile, Target
from query.exports.formats import (
    DEFAULT_FORMATS,
    FORMATS,
    check_category_ids,
    check_formats,
    encoded,
)
from query.exports.label_maps import labels_path, overlay_path
from query.exports.palette import palette_path
from query.exports.regions_json import JSON_VERSION, to_json
from schemas.errors import OutputError, UsageError
from schemas.store.files import make_folder, write_atomic
from schemas.text import printable

if TYPE_CHECKING:
    from query.result import Segmentation

__all__ = [
    "DEFAULT_FORMATS",
    "JSON_VERSION",
    "InputImage",
    "check_formats",
    "check_outputs",
    "collect_inputs",
    "save",
    "to_json",
    "write_files",
]

_LONGEST_NAME = (
    200  # of the 255 bytes that file systems take, with an ending and while it is written
)


@dataclass(frozen=True)
class InputImage:
    """One photo to label. name: of its files in the output folder, its own without the suffix."""

    path: Path
    name: str


def collect_inputs(paths: Iterable[str | Path]) -> tuple[InputImage, ...]:
    """The photos that files and folders stand for.

    A file stands for itself, whatever its suffix. A folder stands for the pictures directly in
    it, by suffix and sorted by name, without hidden ones and without the label maps, overlays and
    palette pictures that an earlier query wrote there. A photo that is named twice is taken once.

    Raises UsageError, before any work, for a path that does not exist, a folder without a
    picture, no path at all, a NAME too long to get an ending, and two photos whose outputs would
    have the same NAME (compared without case and composed, since some file systems tell neither
    apart).
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        for picture in _pictures_in(path) if os.path.isdir(path) else [_existing_file(path)]:
            found.setdefault(picture.resolve(), picture)
    inputs = tuple(InputImage(path, path.stem) for path in found.values())
    if not inputs:
        raise UsageError("expected at least one picture file or folder, found none")
    taken: dict[str, Path] = {}
    for image in inputs:
        if len(os.fsencode(image.name)) > _LONGEST_NAME:
            raise UsageError(
                f"{printable(image.path)}: expected a name of at most {_LONGEST_NAME} bytes, from"
                f" which those of the results are made, found {len(os.fsencode(image.name))};"
                " rename the photo"
            )
        other = taken.setdefault(_key(image.name), image.path)
        if other != image.path:
            raise UsageError(
                f"expected photos with different names, found {printable(other)} and"
                f" {printable(image.path)}, whose results would both be {printable(image.name)}.*;"
                " rename one or query them apart"
            )
    return inputs


def check_outputs(
    inputs: Sequence[InputImage], folder: Path, formats: Sequence[str] = DEFAULT_FORMATS
) -> None:
    """Refuse, before any work, what `save` would refuse afterwards, or what would hurt an input.

    Raises UsageError for an unknown format, and for two results of one name ("a.labelme.png" as
    json and "a.png" as labelme); OutputError if the folder cannot be one, or if a result would
    replace one of the photos.
    """
    check_formats(formats)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: expected a folder for the results, found a file")
    photos = {image.path.resolve() for image in inputs}
    # A photo may be a link in the output folder, which would be replaced.
    photos |= {image.path.parent.resolve() / image.path.name for image in inputs}
    place = folder.resolve()
    taken: dict[str, str] = {}
    for path, what in _results(inputs, formats):
        target = folder / path
        if place / path in photos:
            raise OutputError(
                f"{target}: the result of {what} would replace this photo; choose another output"
                " folder"
            )
        other = taken.setdefault(_key(path), what)
        if other != what:
            raise UsageError(
                f"expected results of different names, found {printable(target)} for {other} and"
                f" for {what}; rename the photo or query it apart"
            )


def save(
    segmentation: Segmentation,
    folder: Path,
    name: str,
    formats: Sequence[str] = DEFAULT_FORMATS,
    photo: Path | None = None,
) -> tuple[Path, ...]:
    """Write a photo's results, each file in one step: whole, or not at all.

    - labels: NAME.labels.png, 16 bits a pixel: 0 unlabelled, otherwise category_id + 1.
    - overlay: NAME.overlay.png, the photo with its labels drawn over it.
    - json: NAME.json, see `to_json`.
    - palette: NAME.palette.png, 8 bits a pixel, the same numbers in colours; and classes.txt.
    - labelme: NAME.labelme.json, see `query.exports.labelme.encode_labelme`.

    Files of the same name are replaced. Returns the files written, in the order of `formats`.

    Args:
        photo: the photo's file, where it has one; LabelMe looks for it.

    Raises UsageError for an unknown format, one of a whole run, or a name that is none; OutputError
    if the folder cannot be written or a category_id does not fit into a format.
    """
    check_formats(formats, alone=True)
    check_category_ids(formats, list(segmentation.category_names))
    if not name or {"/", "\0", os.sep, os.altsep} & {*name}:
        raise UsageError(f"expected a file name without folders, found {name!r}")
    files = encoded(segmentation, Target(folder, name, photo), formats)
    written: list[Path] = []
    try:
        written.extend(write_files(folder, files))
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error})"
        ) from error
    return tuple(written)


def write_files(folder: Path, files: Iterable[ResultFile]) -> Iterator[Path]:
    """Write results, one after the other, and yield the path of each; OSError if one cannot be."""
    for file in files:
        path = folder / file.path
        make_folder(path.parent)
        write_atomic(path, file.data)
        yield path


def _results(inputs: Sequence[InputImage], formats: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The path, in the output folder, of every file that may be written, and what it is of."""
    for kind in formats:
        for path in FORMATS[kind].run_paths:
            yield path, f"the format {kind}"
        for image in inputs:
            for path in FORMATS[kind].photo_paths(image.name):
                yield path, str(image.path)


def _key(path: str) -> str:
    """By what file systems that tell neither case nor composition apart know a name."""
    return unicodedata.normalize("NFC", path).casefold()


def _pictures_in(folder: Path) -> list[Path]:
    earlier = (labels_path(""), overlay_path(""), palette_path(""))
    try:
        pictures = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES
            and not path.name.startswith(".")
            and not path.name.endswith(earlier)
            and path.is_file()
        )
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror})") from error
    if not pictures:
        raise UsageError(
            f"{folder}: expected pictures ({', '.join(IMAGE_SUFFIXES)}), found none in this folder"
        )
    return pictures


def _existing_file(path: Path) -> Path:
    if not os.path.exists(
        path
    ):  # unlike Path.exists, it also answers for a name too long to be one
        raise UsageError(
            f"{printable(path)}: expected a picture file or a folder of pictures, found nothing"
        )
    return path
