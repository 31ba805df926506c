"""The regions of a photo: format `json`, which is NAME.json, and `supervision.Detections`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.images.masks import decode_rle
from query.exports.base import ResultFile, Target, json_bytes
from query.result import LabelledPhoto, Region
from schemas.errors import UsageError

if TYPE_CHECKING:
    import supervision

JSON_VERSION = 1
DECIMALS = 6
"""Of scores and similarities in every text format."""


def json_path(name: str) -> str:
    """The file of a photo's regions."""
    return f"{name}.json"


def encode_json(result: LabelledPhoto, target: Target) -> list[ResultFile]:
    """Makes NAME.json, see `to_json`."""
    data = json_bytes(to_json(result), indent=1) + b"\n"
    return [ResultFile(json_path(target.name), data)]


def to_json(result: LabelledPhoto) -> dict[str, Any]:
    """Returns a photo's result as plain data.

    `size` is [height, width]; `categories` counts the pixels of every category in the label map;
    `regions` come by falling score, with area in pixels, box [x, y, width, height], the mask as
    COCO run lengths and the nearest references, most similar first.
    """
    ids, pixels = np.unique(result.label_map, return_counts=True)
    labelled = [
        {
            "category_id": category_id,
            "category": result.category_names[category_id],
            "pixels": count,
        }
        for category_id, count in zip(ids.tolist(), pixels.tolist(), strict=True)
        if category_id >= 0
    ]
    return {
        "format": "rim-regions",
        "format_version": JSON_VERSION,
        "size": list(result.label_map.shape),
        "bank_version": result.bank_version,
        "categories": labelled,
        "regions": [_region(region) for region in result.regions],
    }


def to_detections(result: LabelledPhoto) -> supervision.Detections:
    """Returns the regions of a photo as `supervision.Detections`, by falling score.

    xyxy: float32 (n, 4), left, top, right, bottom in pixels, right and bottom outside the mask.
    mask: bool (n, H, W), which overlap as regions do. confidence: float32 (n,), the scores.
    class_id: int (n,), the bank's category_ids. data: "class_name" (n,) of str.

    Raises UsageError if the library `supervision` is not installed.
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise UsageError(
            f"expected the library supervision, found none that works ({error}); install it:"
            ' pip install "rim-bank[supervision]"'
        ) from error
    regions, shape = result.regions, result.label_map.shape
    boxes = np.array([one.box for one in regions], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    masks = np.zeros((len(regions), *shape), dtype=bool)
    for mask, one in zip(masks, regions, strict=True):
        mask[:] = decode_rle(one.rle)
    return Detections(
        xyxy=boxes,
        mask=masks,
        confidence=np.array([one.score for one in regions], np.float32),
        class_id=np.array([one.category_id for one in regions], np.int64),
        data={"class_name": np.array([one.category for one in regions], dtype=str)},
    )


def _region(region: Region) -> dict[str, Any]:
    return {
        "category": region.category,
        "category_id": region.category_id,
        "score": round(region.score, DECIMALS),
        "similarity": round(region.similarity, DECIMALS),
        "area": region.area,
        "box": list(region.box),
        "rle": {"size": list(region.rle.size), "counts": region.rle.counts},
        "references": [
            {
                "image_id": reference.image_id,
                "category": reference.category,
                "similarity": round(reference.similarity, DECIMALS),
            }
            for reference in region.references
        ],
    }
