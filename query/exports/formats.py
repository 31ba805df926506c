"""The table of formats, with the files of each, and `save`, which writes a photo's results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from query.exports import coco, dataset, label_maps
from query.exports.base import FinishedRun, ResultFile, Target, check_largest
from query.exports.labelme import encode_labelme, labelme_path
from query.exports.regions import encode_json, json_path
from query.result import LabelledPhoto
from schemas.errors import OutputError, UsageError
from schemas.store.files import make_folder, write_atomic
from schemas.text import did_you_mean

DEFAULT_FORMATS = ("labels", "overlay", "json")
REGIONS = "regions"
"""The format that every run has."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        photo_paths: every path that a photo's files may have, by the photo's NAME.
        encode: makes a photo's files; None if it has none.
        run_paths: of the files about all photos of a run.
        write_run: writes those; None if there are none. Raises OSError.
        largest_label: the largest category_id + 1 that it can hold, and in what.
        alone: whether the files of one photo are of use without those of a run.
    """

    photo_paths: Callable[[str], tuple[str, ...]] = lambda name: ()
    encode: Callable[[LabelledPhoto, Target], list[ResultFile]] | None = None
    run_paths: tuple[str, ...] = ()
    write_run: Callable[[FinishedRun], None] | None = None
    largest_label: tuple[int, str] | None = None
    alone: bool = True


def check_formats(formats: Sequence[str], *, alone: bool = False) -> None:
    """Raises UsageError unless there is at least one format, and all are known.

    alone: whether all must be formats of a single photo.
    """
    known = [name for name, one in FORMATS.items() if one.alone or not alone]
    unknown = [name for name in formats if name not in known]
    if unknown or not formats:
        of_runs = [name for name in unknown if name in FORMATS]
        guess = did_you_mean(unknown[0], known) if unknown else ""
        hint = f"; {of_runs[0]} is of a whole run: rim.query_folder" if of_runs else guess
        raise UsageError(
            f"expected output formats out of {', '.join(known)}, found"
            f" {', '.join(unknown) or 'none'}{hint}"
        )


def check_category_ids(formats: Iterable[str], category_ids: Sequence[int]) -> None:
    """Raises OutputError if one of the formats cannot hold one of the category_ids."""
    for name in formats:
        limit = FORMATS[name].largest_label
        if limit is not None:
            check_largest(limit[1], category_ids, limit[0])


def of_a_run(formats: Iterable[str]) -> bool:
    """Whether one of the formats has files about all photos of a run."""
    return any(not FORMATS[name].alone for name in formats)


def in_order(formats: Iterable[str]) -> tuple[str, ...]:
    """Returns the formats once each, in the order of the table."""
    given = set(formats)
    return tuple(name for name in FORMATS if name in given)


def save(
    result: LabelledPhoto,
    folder: Path,
    name: str,
    formats: Sequence[str] = DEFAULT_FORMATS,
    photo: Path | None = None,
) -> tuple[Path, ...]:
    """Writes a photo's results, each file in one step: whole, or not at all.

    - labels: NAME.labels.png, 16 bits a pixel: 0 unlabelled, otherwise category_id + 1.
    - overlay: NAME.overlay.png, the photo with its labels drawn over it.
    - json: NAME.json, see `query.exports.regions.to_json`.
    - palette: NAME.palette.png, 8 bits a pixel, the same numbers in colours; and classes.txt.
    - labelme: NAME.labelme.json, see `query.exports.labelme.encode_labelme`.

    Files of the same name are replaced. Returns the files written, in the order of `formats`.

    Args:
        result: a labelled photo.
        folder: made if need be.
        name: NAME, without folders.
        formats: names out of `FORMATS`, without those of a whole run.
        photo: the photo's file, where it has one; LabelMe looks for it.

    Raises UsageError for an unknown format, one of a whole run, or a name with folders; OutputError
    if the folder cannot be written or a category_id does not fit into a format.
    """
    check_formats(formats, alone=True)
    check_category_ids(formats, list(result.category_names))
    if not name or {"/", "\0", os.sep, os.altsep} & {*name}:
        raise UsageError(f"expected a file name without folders, found {name!r}")
    files = encoded(result, Target(folder, name, photo), formats)
    written: list[Path] = []
    try:
        written.extend(write_files(folder, files))
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error})"
        ) from error
    return tuple(written)


def write_files(folder: Path, files: Iterable[ResultFile]) -> Iterator[Path]:
    """Writes results, one after the other, and yields the path of each; raises OSError."""
    for file in files:
        path = folder / file.path
        make_folder(path.parent)
        write_atomic(path, file.data)
        yield path


def encoded(result: LabelledPhoto, target: Target, formats: Iterable[str]) -> Iterator[ResultFile]:
    """Makes the files of a photo in some formats, one after the other."""
    for name in formats:
        encode = FORMATS[name].encode
        if encode is not None:
            yield from encode(result, target)


def _write_regions(run: FinishedRun) -> None:
    from query.exports.regions_table import write_regions

    write_regions(run)


FORMATS: Mapping[str, Format] = {
    "labels": Format(
        lambda name: (label_maps.labels_path(name),),
        label_maps.encode_labels,
        largest_label=(label_maps.LARGEST_LABEL, "a 16-bit label map"),
    ),
    "overlay": Format(lambda name: (label_maps.overlay_path(name),), label_maps.encode_overlay),
    "json": Format(lambda name: (json_path(name),), encode_json),
    "palette": Format(
        lambda name: (label_maps.palette_path(name),),
        label_maps.encode_palette,
        (label_maps.CLASSES,),
        label_maps.write_classes,
        (label_maps.LARGEST_PALETTE_LABEL, "an 8-bit palette image"),
    ),
    "labelme": Format(lambda name: (labelme_path(name),), encode_labelme),
    "coco": Format(
        lambda name: (coco.panoptic_path(name),),
        coco.encode_panoptic,
        (coco.INSTANCES, coco.PANOPTIC),
        coco.write_coco,
        (coco.LARGEST_LABEL, "24-bit segment ids"),
        alone=False,
    ),
    "dataset": Format(
        lambda name: (*dataset.image_paths(name), dataset.label_path(name)),
        dataset.encode_pair,
        (dataset.METADATA, dataset.NAMES, dataset.CARD),
        dataset.write_dataset,
        (label_maps.LARGEST_LABEL, "a 16-bit label map"),
        alone=False,
    ),
    REGIONS: Format(run_paths=("regions.parquet",), write_run=_write_regions, alone=False),
}
