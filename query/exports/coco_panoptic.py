"""Format `coco`, second half: the label maps as COCO panoptic, `coco-panoptic.json` and PNGs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.images.reading import encode_png
from query.exports.base import FinishedRun, ResultFile, Target, check_largest, label_of
from query.exports.coco_instances import categories, images, run_info
from query.exports.json_pieces import write_object
from query.overlay import category_colour
from schemas.store.files import atomic_writer

if TYPE_CHECKING:
    from query.result import Segmentation

FILE = "coco-panoptic.json"
FOLDER = "panoptic"
LARGEST_LABEL = (1 << 24) - 1


def panoptic_path(name: str) -> str:
    """The file of a photo's segments."""
    return f"{FOLDER}/{name}.png"


def encode_panoptic(segmentation: Segmentation, target: Target) -> list[ResultFile]:
    """panoptic/NAME.png, RGB, where R + 256 G + 256^2 B is the id of the pixel's segment.

    There is one segment a category, and its id is category_id + 1; 0 is unlabelled (COCO: void).

    Raises OutputError if a category_id of the bank does not fit into 24 bits.
    """
    check_largest("24-bit segment ids", segmentation.category_names, LARGEST_LABEL)
    ids = label_of(segmentation.label_map.astype(np.int64))
    rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=2).astype(np.uint8)
    return [ResultFile(panoptic_path(target.name), encode_png(rgb))]


def write_panoptic(run: FinishedRun) -> None:
    """COCO panoptic annotations of all photos, for the PNGs of `encode_panoptic`.

    All categories have `isthing` 0. An open vocabulary does not say what can be counted, and a
    label map does not tell two fish that touch apart, nor join the halves of a house behind a
    tree; COCO has one segment a photo of what is no thing, and so it is here. Single objects are
    in `coco-instances.json`.
    """
    with atomic_writer(run.folder / FILE) as file:
        write_object(
            file,
            {
                "info": run_info(run),
                "licenses": [],
                "images": images(run),
                "annotations": _annotations(run),
                "categories": [
                    {**one, "isthing": 0, "color": list(category_colour(one["id"] - 1))}
                    for one in categories(run.names)
                ],
            },
        )


def _annotations(run: FinishedRun) -> Iterator[dict[str, Any]]:
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
                for label in photo.kept.labels
            ],
        }
