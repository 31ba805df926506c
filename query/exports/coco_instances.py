"""Format `coco`, first half: all regions of a run as COCO instances, `coco-instances.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from query.exports.base import FinishedRun, label_of
from query.exports.json_pieces import write_object
from query.exports.regions_json import DECIMALS
from schemas.store.files import atomic_writer

FILE = "coco-instances.json"


def write_instances(run: FinishedRun) -> None:
    """COCO instance annotations of all photos, as pycocotools reads them.

    - One annotation a region, with its whole mask as run lengths, so annotations overlap where
      regions do; `area` and `bbox` [x, y, width, height] are the mask's, `iscrowd` is 0. `score`
      and `similarity` stand beside them. What was labelled without a region is in the panoptic
      half alone.
    - `category_id` is the bank's plus 1: COCO's ids begin at 1, 0 is left for what is unlabelled,
      and it is the number in NAME.labels.png. All of the bank's categories are listed.
    - `image_id` counts the photos from 1; `file_name` is relative to the folder that all photos
      of the run are in.
    """
    with atomic_writer(run.folder / FILE) as file:
        write_object(
            file,
            {
                "info": run_info(run),
                "licenses": [],
                "images": images(run),
                "annotations": _annotations(run),
                "categories": categories(run.names),
            },
        )


def run_info(run: FinishedRun) -> dict[str, Any]:
    """COCO's `info`."""
    return {"description": f"labelled by rim with version {run.bank_version} of its bank"}


def images(run: FinishedRun) -> Iterator[dict[str, Any]]:
    """COCO's `images`."""
    for photo in run.photos():
        yield {
            "id": photo.number,
            "file_name": photo.file_name,
            "width": photo.kept.width,
            "height": photo.kept.height,
        }


def categories(names: Mapping[int, str]) -> list[dict[str, Any]]:
    """COCO's `categories`; a bank knows no kinds above its categories."""
    return [
        {"id": label_of(category_id), "name": name, "supercategory": ""}
        for category_id, name in names.items()
    ]


def _annotations(run: FinishedRun) -> Iterator[dict[str, Any]]:
    number = 0
    for photo in run.photos():
        for region in photo.kept.regions:
            number += 1
            yield {
                "id": number,
                "image_id": photo.number,
                "category_id": label_of(region.category_id),
                "segmentation": {
                    "size": [photo.kept.height, photo.kept.width],
                    "counts": region.counts,
                },
                "area": region.area,
                "bbox": list(region.box),
                "iscrowd": 0,
                "score": round(region.score, DECIMALS),
                "similarity": round(region.similarity, DECIMALS),
            }
