"""Which photos a query is about, and whether its results may be written where they should."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation.images.reading import IMAGE_SUFFIXES
from query.exports.formats import DEFAULT_FORMATS, FORMATS, check_formats
from query.exports.label_maps import labels_path, overlay_path, palette_path
from schemas.errors import OutputError, UsageError
from schemas.text import printable

# Of the 255 bytes that file systems take, with an ending and while it is written.
_LONGEST_NAME = 200


@dataclass(frozen=True)
class InputImage:
    """One photo to label. name: of its files in the output folder, its own without the suffix."""

    path: Path
    name: str


def collect_inputs(paths: Iterable[str | Path]) -> tuple[InputImage, ...]:
    """Collects the photos that files and folders stand for.

    A file stands for itself, whatever its suffix. A folder stands for the images directly in
    it, by suffix and sorted by name, without hidden ones and without the label maps, overlays and
    palette images that an earlier query wrote there. A photo that is named twice is taken once.

    Raises UsageError, before any work, for a path that does not exist, a folder without an
    image, no path at all, a NAME too long to get an ending, and two photos whose outputs would
    have the same NAME (compared without case and composed, since some file systems tell neither
    apart).
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        for image in _images_in(path) if os.path.isdir(path) else [_existing_file(path)]:
            found.setdefault(image.resolve(), image)
    inputs = tuple(InputImage(photo, photo.stem) for photo in found.values())
    if not inputs:
        raise UsageError("expected at least one image file or folder, found none")
    taken: dict[str, Path] = {}
    for one in inputs:
        if len(os.fsencode(one.name)) > _LONGEST_NAME:
            raise UsageError(
                f"{printable(one.path)}: expected a name of at most {_LONGEST_NAME} bytes, from"
                f" which those of the results are made, found {len(os.fsencode(one.name))};"
                " rename the photo"
            )
        other = taken.setdefault(_key(one.name), one.path)
        if other != one.path:
            raise UsageError(
                f"expected photos with different names, found {printable(other)} and"
                f" {printable(one.path)}, whose results would both be {printable(one.name)}.*;"
                " rename one or query them apart"
            )
    return inputs


def check_outputs(
    inputs: Sequence[InputImage], folder: Path, formats: Sequence[str] = DEFAULT_FORMATS
) -> None:
    """Refuses, before any work, what `save` would refuse later, or what would replace a photo.

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


def _results(inputs: Sequence[InputImage], formats: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The path, in the output folder, of every possible file, and its photo or format."""
    for kind in formats:
        for path in FORMATS[kind].run_paths:
            yield path, f"the format {kind}"
        for image in inputs:
            for path in FORMATS[kind].photo_paths(image.name):
                yield path, str(image.path)


def _key(path: str) -> str:
    """The form of a path that is equal for file systems without case and composition."""
    return unicodedata.normalize("NFC", path).casefold()


def _images_in(folder: Path) -> list[Path]:
    earlier = (labels_path(""), overlay_path(""), palette_path(""))
    try:
        images = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES
            and not path.name.startswith(".")
            and not path.name.endswith(earlier)
            and path.is_file()
        )
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror})") from error
    if not images:
        raise UsageError(
            f"{folder}: expected images ({', '.join(IMAGE_SUFFIXES)}), found none in this folder"
        )
    return images


def _existing_file(path: Path) -> Path:
    if not os.path.exists(
        path
    ):  # unlike Path.exists, it also answers for a name too long to be one
        raise UsageError(
            f"{printable(path)}: expected an image file or a folder of images, found nothing"
        )
    return path
