"""Opens the data set of a choice: a benchmark's, a folder's, or fresh scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rim.evaluation.datasets.ade import ade150, ade847
from rim.evaluation.datasets.base import Dataset
from rim.evaluation.datasets.choice import BENCHMARKS, DEFAULT_SPLIT, MINIATURE, DatasetChoice
from rim.evaluation.datasets.coco import coco_object, coco_stuff
from rim.evaluation.datasets.folder import folder
from rim.evaluation.datasets.miniature import miniature
from rim.evaluation.datasets.pascal import context59, context459, voc
from schemas.errors import UsageError
from schemas.records import CategoryRecord

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
"""The benchmarks by name: (name, root, split) to the data set."""


def open_dataset(choice: DatasetChoice, categories: Sequence[CategoryRecord]) -> Dataset:
    """Opens the data set: finds its folders and lists its images, none of which is read yet.

    categories: of the bank; `miniature` scores on those alone.

    Raises UsageError as `DatasetChoice.check` does, for a folder that is not the data set's and a
    split that it does not have; VocabularyError for the classes of `folder`.
    """
    choice.check()
    if choice.name == MINIATURE:
        dataset = miniature(choice.name, categories, choice.scenes, choice.seed)
    elif choice.name in BENCHMARKS:
        split = choice.split or DEFAULT_SPLIT
        dataset = OPENERS[choice.name](choice.name, _given(choice.root), split)
    else:
        dataset = folder(
            _given(choice.images), _given(choice.masks), _given(choice.classes), choice.ignore
        )
    return replace(dataset, items=dataset.items[: choice.limit])


def _given(path: Path | None) -> Path:
    if path is None:
        raise UsageError("expected a path, found none; see rim eval --help")
    return path
