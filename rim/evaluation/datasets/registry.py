"""The benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rim.evaluation.datasets.ade import ade150, ade847
from rim.evaluation.datasets.base import Dataset
from rim.evaluation.datasets.coco import coco_object, coco_stuff
from rim.evaluation.datasets.context import context59, context459
from rim.evaluation.datasets.voc import voc

OPENERS: Mapping[str, Callable[[str, Path, str], Dataset]] = {
    "voc20": voc,
    "voc21": voc,
    "context59": context59,
    "context60": context59,
    "context459": context459,
    "ade150": ade150,
    "ade847": ade847,
    "coco-object": coco_object,
    "coco-stuff": coco_stuff,
}
"""By name: (name, root, split) to the dataset, as each function's description says."""
