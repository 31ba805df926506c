"""Format `coco`: all regions of a run as COCO instances, and its label maps as COCO panoptic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from foundation.images.reading import encode_png
from query.exports.base import (
    FinishedRun,
    ResultFile,
    Target,
    check_largest,
    label_of,
    write_object,
)
from query.exports.regions import DECIMALS
from query.overlay import category_colour
from query.result import LabelledPhoto
from schemas.store.files import atomic_writer

INSTANCES = "coco-instances.json"
PANOPTIC = "coco-panoptic.json"
FOLDER = "panoptic"
LARGEST_LABEL = (1 << 24) - 1


def panoptic_path(name: str) -> str:
    """The file of a photo's segments."""
    return f"{FOLDER}/{name}.png"


def encode_panoptic(result: LabelledPhoto, target: Target) -> list[ResultFile]:
    """Makes panoptic/NAME.png, RGB, where R + 256 G + 256^2 B is the segment's id.

    There is one segment a category, and its id is category_id + 1; 0 is unlabelled (COCO: void).

    Raises OutputError if a category_id of the bank does not fit into 24 bits.
    """
    check_largest("24-bit segment ids", result.category_names, LARGEST_LABEL)
    ids = label_of(result.label_map.astype(np.int64))
    rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=2).astype(np.uint8)
    return [ResultFile(panoptic_path(target.name), encode_png(rgb))]


def write_coco(run: FinishedRun) -> None:
    """Writes both annotation files of a run."""
    _write_instances(run)
    _write_panoptic(run)


def _write_instances(run: FinishedRun) -> None:
    """Writes the COCO instance annotations of all photos, as pycocotools reads them.

    - One annotation a region, with its whole mask as run lengths, so annotations overlap where
      regions do; `area` and `bbox` [x, y, width, height] are the mask's, `iscrowd` is 0. `score`
      and `similarity` stand beside them. What was labelled without a region is in the panoptic
      half alone.
    - `category_id` is the bank's plus 1: COCO's ids begin at 1, 0 is left for what is unlabelled,
      and it is the number in NAME.labels.png. All of the bank's categories are listed.
    - `image_id` counts the photos from 1; `file_name` is relative to the folder that all photos
      of the run are in.
    """
    with atomic_writer(run.folder / INSTANCES) as file:
        write_object(
            file,
            {
                "info": _run_info(run),
                "licenses": [],
                "images": _images(run),
                "annotations": _instances(run),
                "categories": _categories(run.names),
            },
        )


def _write_panoptic(run: FinishedRun) -> None:
    """Writes the COCO panoptic annotations of all photos, for the PNGs of `encode_panoptic`.

    All categories have `isthing` 0. An open vocabulary does not say what can be counted, and a
    label map does not tell two fish that touch apart, nor join the halves of a house behind a
    tree; COCO has one segment a photo of what is no thing, and so it is here. Single objects are
    in `coco-instances.json`.
    """
    with atomic_writer(run.folder / PANOPTIC) as file:
        write_object(
            file,
            {
                "info": _run_info(run),
                "licenses": [],
                "images": _images(run),
                "annotations": _segments(run),
                "categories": [
                    {**one, "isthing": 0, "color": list(category_colour(one["id"] - 1))}
                    for one in _categories(run.names)
                ],
            },
        )


def _run_info(run: FinishedRun) -> dict[str, Any]:
    """COCO's `info`."""
    return {"description": f"labelled by rim with version {run.bank_version} of its bank"}


def _images(run: FinishedRun) -> Iterator[dict[str, Any]]:
    """COCO's `images`."""
    for photo in run.photos():
        yield {
            "id": photo.number,
            "file_name": photo.file_name,
            "width": photo.stored.width,
            "height": photo.stored.height,
        }


def _categories(names: Mapping[int, str]) -> list[dict[str, Any]]:
    """COCO's `categories`; a bank knows no kinds above its categories."""
    return [
        {"id": label_of(category_id), "name": name, "supercategory": ""}
        for category_id, name in names.items()
    ]


def _instances(run: FinishedRun) -> Iterator[dict[str, Any]]:
    number = 0
    for photo in run.photos():
        for region in photo.stored.regions:
            number += 1
            yield {
                "id": number,
                "image_id": photo.number,
                "category_id": label_of(region.category_id),
                "segmentation": {
                    "size": [photo.stored.height, photo.stored.width],
                    "counts": region.counts,
                },
                "area": region.area,
                "bbox": list(region.box),
                "iscrowd": 0,
                "score": round(region.score, DECIMALS),
                "similarity": round(region.similarity, DECIMALS),
            }


def _segments(run: FinishedRun) -> Iterator[dict[str, Any]]:
    for photo in run.photos():
        yield {
            "image_id": photo.number,
            "file_name": f"{photo.name}.png",
            "segments_info": [
                {
                    "id": label_of(label.category_id),
                    "category_id": label_of(label.category_id),
                    "area": label.area,
                    "bbox": list(label.box),
                    "iscrowd": 0,
                }
                for label in photo.stored.labels
            ],
        }
