"""The names of the data sets; this module loads nothing, so that help and usage errors are fast."""

from __future__ import annotations

from typing import Final

MINIATURE: Final = "miniature"
FOLDER: Final = "folder"
BENCHMARKS: Final = (
    "voc20",
    "voc21",
    "context59",
    "context60",
    "context459",
    "ade150",
    "ade847",
    "coco-object",
    "coco-stuff",
)
DATASET_NAMES: Final = (MINIATURE, *BENCHMARKS, FOLDER)
