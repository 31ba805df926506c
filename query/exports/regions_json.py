"""Format `json`: NAME.json, a photo's regions with the references that decided them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from query.exports.base import ResultFile, Target
from query.exports.json_pieces import json_bytes

if TYPE_CHECKING:
    from query.result import Region, Segmentation

JSON_VERSION = 1
DECIMALS = 6
"""Of scores and similarities in every text format."""


def json_path(name: str) -> str:
    """The file of a photo's regions."""
    return f"{name}.json"


def encode_json(segmentation: Segmentation, target: Target) -> list[ResultFile]:
    """NAME.json, see `to_json`."""
    data = json_bytes(to_json(segmentation), indent=1) + b"\n"
    return [ResultFile(json_path(target.name), data)]


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
