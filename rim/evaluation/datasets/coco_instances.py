"""Draws label maps from COCO's instance annotations, where there are no pixel maps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from foundation.images.masks import Rle, decode_rle
from schemas.errors import ImageError, UsageError


@dataclass(frozen=True)
class InstanceTruths:
    """The annotations of a file `instances_*.json`, by file name of the photo.

    Attributes:
        path: the file.
        class_of: index of the class by COCO's category id.
        sizes: (height, width) by file name.
        annotations: by file name.
    """

    path: Path
    class_of: Mapping[int, int]
    sizes: Mapping[str, tuple[int, int]]
    annotations: Mapping[str, tuple[dict[str, Any], ...]]

    @classmethod
    def read(cls, path: Path, class_of: Mapping[int, int]) -> InstanceTruths:
        """Reads the file; UsageError if it is no file of instances."""
        try:
            content = json.loads(path.read_bytes())
            names = {int(one["id"]): str(one["file_name"]) for one in content["images"]}
            sizes = {
                str(one["file_name"]): (int(one["height"]), int(one["width"]))
                for one in content["images"]
            }
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in sizes}
            for one in content["annotations"]:
                found[names[one["image_id"]]].append(
                    {key: one[key] for key in ("category_id", "segmentation", "area", "iscrowd")}
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path}: expected COCO instances (images, annotations), cannot be read "
                f"({type(error).__name__}: {error})"
            ) from error
        return cls(path, class_of, sizes, {name: tuple(ones) for name, ones in found.items()})

    def label_map(self, file_name: str) -> NDArray[np.int32]:
        """(H, W) int32 of a photo: 0 where no instance is, otherwise its class.

        Instances overlap: crowds are painted first, then the others from the largest annotated
        area to the smallest, so that a cup on a table is a cup [ours].

        Raises ImageError if the file has no such photo, or an annotation is damaged.
        """
        if file_name not in self.sizes:
            raise ImageError(f"{self.path}: expected annotations of {file_name}, found none")
        height, width = self.sizes[file_name]
        labels = np.zeros((height, width), dtype=np.int32)
        order = sorted(
            self.annotations[file_name], key=lambda one: (not one["iscrowd"], -one["area"])
        )
        try:
            for one in order:
                mask = _mask(one["segmentation"], height, width)
                labels[mask] = self.class_of[one["category_id"]]
        except Exception as error:  # pycocotools raises nearly anything on damaged annotations
            raise ImageError(
                f"{self.path}: the annotations of {file_name} cannot be drawn "
                f"({type(error).__name__}: {error})"
            ) from error
        return labels


def _mask(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """(H, W) bool of polygons, or of run lengths, compressed or not."""
    if isinstance(segmentation, list):
        rle = coco.merge(coco.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = coco.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    counts = rle["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else str(counts)
    return decode_rle(Rle((height, width), text))
