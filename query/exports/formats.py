"""The table of formats: their names, the files each one has, and who writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from query.exports import coco_instances, coco_panoptic, dataset, palette
from query.exports.base import FinishedRun, ResultFile, Target, check_largest
from query.exports.label_maps import (
    LARGEST_LABEL,
    encode_labels,
    encode_overlay,
    labels_path,
    overlay_path,
)
from query.exports.labelme import encode_labelme, labelme_path
from query.exports.regions_json import encode_json, json_path
from schemas.errors import UsageError
from schemas.store.files import write_atomic
from schemas.text import did_you_mean

if TYPE_CHECKING:
    from query.result import Segmentation

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
    encode: Callable[[Segmentation, Target], list[ResultFile]] | None = None
    run_paths: tuple[str, ...] = ()
    write_run: Callable[[FinishedRun], None] | None = None
    largest_label: tuple[int, str] | None = None
    alone: bool = True


def check_formats(formats: Sequence[str], *, alone: bool = False) -> None:
    """UsageError unless there is at least one format, and all are known.

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
    """OutputError if one of the formats cannot hold one of the category_ids."""
    for name in formats:
        limit = FORMATS[name].largest_label
        if limit is not None:
            check_largest(limit[1], category_ids, limit[0])


def of_a_run(formats: Iterable[str]) -> bool:
    """Whether one of the formats has files about all photos of a run."""
    return any(not FORMATS[name].alone for name in formats)


def in_order(formats: Iterable[str]) -> tuple[str, ...]:
    """The formats once each, in the order of the table."""
    given = set(formats)
    return tuple(name for name in FORMATS if name in given)


def encoded(
    segmentation: Segmentation, target: Target, formats: Iterable[str]
) -> Iterator[ResultFile]:
    """The files of a photo in some formats, made one after the other."""
    for name in formats:
        encode = FORMATS[name].encode
        if encode is not None:
            yield from encode(segmentation, target)


def _write_coco(run: FinishedRun) -> None:
    coco_instances.write_instances(run)
    coco_panoptic.write_panoptic(run)


def _write_classes(run: FinishedRun) -> None:
    write_atomic(run.folder / palette.CLASSES, palette.class_list(run.names))


def _encode_palette(segmentation: Segmentation, target: Target) -> list[ResultFile]:
    classes = ResultFile(palette.CLASSES, palette.class_list(segmentation.category_names))
    return [*palette.encode_palette(segmentation, target), classes]


def _write_regions(run: FinishedRun) -> None:
    from query.exports.regions_table import write_regions

    write_regions(run)


FORMATS: Mapping[str, Format] = {
    "labels": Format(
        lambda name: (labels_path(name),),
        encode_labels,
        largest_label=(LARGEST_LABEL, "a 16-bit label map"),
    ),
    "overlay": Format(lambda name: (overlay_path(name),), encode_overlay),
    "json": Format(lambda name: (json_path(name),), encode_json),
    "palette": Format(
        lambda name: (palette.palette_path(name),),
        _encode_palette,
        (palette.CLASSES,),
        _write_classes,
        (palette.LARGEST_LABEL, "an 8-bit palette picture"),
    ),
    "labelme": Format(lambda name: (labelme_path(name),), encode_labelme),
    "coco": Format(
        lambda name: (coco_panoptic.panoptic_path(name),),
        coco_panoptic.encode_panoptic,
        (coco_instances.FILE, coco_panoptic.FILE),
        _write_coco,
        (coco_panoptic.LARGEST_LABEL, "24-bit segment ids"),
        alone=False,
    ),
    "dataset": Format(
        lambda name: (*dataset.image_paths(name), dataset.label_path(name)),
        dataset.encode_pair,
        (dataset.METADATA, dataset.NAMES, dataset.CARD),
        dataset.write_dataset,
        (LARGEST_LABEL, "a 16-bit label map"),
        alone=False,
    ),
    REGIONS: Format(run_paths=("regions.parquet",), write_run=_write_regions, alone=False),
}
