"""PASCAL VOC 2012: `voc21` with the class background, `voc20` without."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rim.evaluation.datasets.base import Dataset, choose_split, file_item, locate, read_names
from rim.evaluation.datasets.classes import shipped_classes
from rim.evaluation.datasets.label_files import IGNORE, LabelTable, read_truth

_OBJECTS = 20
_BORDER = 255


def voc(name: str, root: Path, split: str) -> Dataset:
    """The official folder: `JPEGImages/ID.jpg`, `SegmentationClass/ID.png` (palette: 0 background,
    1 to 20 the classes, 255 the borders between them, which are not scored) and the lists
    `ImageSets/Segmentation/SPLIT.txt`.

    `voc20` scores the pixels of the 20 classes alone: background is ignored in the truth [peer:
    mmsegmentation's reduce_zero_label]. `voc21` has background as its first class.

    Args:
        name: "voc20" or "voc21".
        root: VOC2012, VOCdevkit or the folder above.
        split: "val", "train" or "trainval".

    Raises UsageError for another folder or split.
    """
    choose_split(split, ("val", "train", "trainval"), name)
    listed = f"ImageSets/Segmentation/{split}.txt"
    folder = locate(
        root,
        ("VOCdevkit/VOC2012", "VOC2012"),
        (("JPEGImages",), ("SegmentationClass",), (listed,)),
        "VOC 2012",
    )
    first = 1 if name == "voc20" else 0
    meaning = {label: label - first for label in range(first, _OBJECTS + 1)}
    table = LabelTable.of({0: IGNORE, **meaning, _BORDER: IGNORE})
    items = []
    for image in read_names(folder / listed):
        mask = folder / "SegmentationClass" / f"{image}.png"
        photo = folder / "JPEGImages" / f"{image}.jpg"
        items.append(file_item(image, photo, partial(read_truth, mask, table), mask))
    return Dataset(name, shipped_classes(name), tuple(items))
