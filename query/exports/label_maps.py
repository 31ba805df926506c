"""Formats `labels` and `overlay`: the label map in 16 bits, and drawn over its photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from foundation.images.reading import encode_png
from query.exports.base import ResultFile, Target, check_largest, label_of

if TYPE_CHECKING:
    from query.result import Segmentation

LARGEST_LABEL = 65535


def labels_path(name: str) -> str:
    """The label map's file."""
    return f"{name}.labels.png"


def overlay_path(name: str) -> str:
    """The overlay's file."""
    return f"{name}.overlay.png"


def encode_labels(segmentation: Segmentation, target: Target) -> list[ResultFile]:
    """NAME.labels.png, 16 bits a pixel: 0 unlabelled, otherwise category_id + 1.

    Raises OutputError if a category_id of the bank does not fit.
    """
    check_largest("a 16-bit label map", segmentation.category_names, LARGEST_LABEL)
    labels = label_of(segmentation.label_map.astype(np.int64)).astype(np.uint16)
    return [ResultFile(labels_path(target.name), encode_png(labels))]


def encode_overlay(segmentation: Segmentation, target: Target) -> list[ResultFile]:
    """NAME.overlay.png, the photo with its labels drawn over it."""
    return [ResultFile(overlay_path(target.name), encode_png(segmentation.overlay()))]
