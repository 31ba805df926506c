"""Files of a query: which photos go in, and NAME.labels.png, NAME.overlay.png, NAME.json out."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.images import IMAGE_SUFFIXES, encode_png
from schemas.errors import OutputError, UsageError
from schemas.files import write_atomic
from schemas.printable import printable

if TYPE_CHECKING:
    from query.result import Region, Segmentation

DEFAULT_FORMATS = ("labels", "overlay", "json")
JSON_VERSION = 1
_LARGEST_LABEL = 65535
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
    it, by suffix and sorted by name, without hidden ones and without the label maps and overlays
    that an earlier query wrote there. A photo that is named twice is taken once.

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
        key = unicodedata.normalize("NFC", image.name).casefold()
        other = taken.setdefault(key, image.path)
        if other != image.path:
            raise UsageError(
                f"expected photos with different names, found {printable(other)} and"
                f" {printable(image.path)}, whose results would both be {printable(image.name)}.*;"
                " rename one or query them apart"
            )
    return inputs


def check_outputs(
    inputs: Iterable[InputImage], folder: Path, formats: Sequence[str] = DEFAULT_FORMATS
) -> None:
    """Refuse, before any work, what `save` would refuse afterwards, or what would hurt an input.

    Raises UsageError for an unknown format; OutputError if the folder cannot be one, or if a
    result would replace one of the photos.
    """
    check_formats(formats)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: expected a folder for the results, found a file")
    photos = {image.path.resolve() for image in inputs}
    for image in inputs:
        for kind in formats:
            target = folder / (image.name + _SUFFIXES[kind])
            if target.resolve() in photos:
                raise OutputError(
                    f"{target}: the result of {image.path} would replace this photo; choose"
                    " another output folder"
                )


def check_formats(formats: Sequence[str]) -> None:
    """UsageError unless there is at least one format and all are known."""
    unknown = [kind for kind in formats if kind not in _SUFFIXES]
    if unknown or not formats:
        raise UsageError(
            f"expected output formats out of {', '.join(_SUFFIXES)}, found"
            f" {', '.join(unknown) or 'none'}"
        )


def save(
    segmentation: Segmentation,
    folder: Path,
    name: str,
    formats: Sequence[str] = DEFAULT_FORMATS,
) -> tuple[Path, ...]:
    """Write a photo's results, each file in one step: whole, or not at all.

    - labels: NAME.labels.png, 16 bits a pixel: 0 unlabelled, otherwise category_id + 1.
    - overlay: NAME.overlay.png, the photo with its labels drawn over it.
    - json: NAME.json, see `to_json`.

    Files of the same name are replaced. Returns the files written, in the order of `formats`.

    Raises UsageError for an unknown format or a name that is none, OutputError if the folder
    cannot be written or a category_id does not fit into 16 bits.
    """
    check_formats(formats)
    if not name or {"/", "\0", os.sep, os.altsep} & {*name}:
        raise UsageError(f"expected a file name without folders, found {name!r}")
    written = []
    for kind in formats:
        path = folder / (name + _SUFFIXES[kind])
        data = _ENCODERS[kind](segmentation)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
        written.append(path)
    return tuple(written)


def to_json(segmentation: Segmentation) -> dict[str, Any]:
    """A photo's result as plain data.

    `size` is [height, width]; `categories` counts the pixels of every category in the label map;
    `regions` come by falling score, with area in pixels, box [x, y, width, height], the mask as
    COCO run lengths and the nearest references, most similar first.
    """
    ids, pixels = np.unique(segmentation.label_map, return_counts=True)
    labelled = [
        {
            "category_id": category_id,
            "category": segmentation.category_names[category_id],
            "pixels": count,
        }
        for category_id, count in zip(ids.tolist(), pixels.tolist(), strict=True)
        if category_id >= 0
    ]
    return {
        "format": "rim-regions",
        "format_version": JSON_VERSION,
        "size": list(segmentation.label_map.shape),
        "bank_version": segmentation.bank_version,
        "categories": labelled,
        "regions": [_region(region) for region in segmentation.regions],
    }


def _region(region: Region) -> dict[str, Any]:
    return {
        "category": region.category,
        "category_id": region.category_id,
        "score": round(region.score, 6),
        "similarity": round(region.similarity, 6),
        "area": region.area,
        "box": list(region.box),
        "rle": {"size": list(region.rle.size), "counts": region.rle.counts},
        "references": [
            {
                "image_id": reference.image_id,
                "category": reference.category,
                "similarity": round(reference.similarity, 6),
            }
            for reference in region.references
        ],
    }


def _encode_labels(segmentation: Segmentation) -> bytes:
    labels = segmentation.label_map.astype(np.int64) + 1
    if labels.max() > _LARGEST_LABEL:
        raise OutputError(
            f"expected category ids below {_LARGEST_LABEL} in a 16-bit label map, found"
            f" {labels.max() - 1}; choose another format"
        )
    return encode_png(labels.astype(np.uint16))


def _encode_overlay(segmentation: Segmentation) -> bytes:
    return encode_png(segmentation.overlay())


def _encode_json(segmentation: Segmentation) -> bytes:
    text = json.dumps(to_json(segmentation), ensure_ascii=False, allow_nan=False, indent=1)
    return text.encode("utf-8") + b"\n"


def _pictures_in(folder: Path) -> list[Path]:
    earlier = (_SUFFIXES["labels"], _SUFFIXES["overlay"])
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


_SUFFIXES: Mapping[str, str] = {
    "labels": ".labels.png",
    "overlay": ".overlay.png",
    "json": ".json",
}
_ENCODERS: Mapping[str, Callable[[Segmentation], bytes]] = {
    "labels": _encode_labels,
    "overlay": _encode_overlay,
    "json": _encode_json,
}
