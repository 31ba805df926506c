"""ADE20K: `ade150`, the scene parsing challenge, and `ade847`, all classes that are common."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from query.datasets.base import Dataset, choose_split, file_item, locate, pictures_in
from query.datasets.classes import shipped_classes
from query.datasets.label_files import IGNORE, LabelTable, read_truth

_FOLDERS = {"val": "validation", "train": "training"}


def ade150(name: str, root: Path, split: str) -> Dataset:
    """The official folder of the challenge: `images/validation/ID.jpg` and
    `annotations/validation/ID.png` (0 is not scored, 1 to 150 the classes).

    Args:
        name: "ade150".
        root: ADEChallengeData2016 or the folder above.
        split: "val" or "train".

    Raises UsageError for another folder or split.
    """
    part = _FOLDERS[choose_split(split, tuple(_FOLDERS), name)]
    classes = shipped_classes(name)
    images, masks = f"images/{part}", f"annotations/{part}"
    folder = locate(
        root,
        ("ADEChallengeData2016", "ade/ADEChallengeData2016"),
        ((images,), (masks,)),
        "the ADE20K challenge",
    )
    table = LabelTable.of({0: IGNORE, **{i + 1: i for i in range(len(classes))}})
    return _dataset(name, folder / images, folder / masks, ".png", table)


def ade847(name: str, root: Path, split: str) -> Dataset:
    """ADE20K as prepared from its release of 2021 for 847 classes [peer: MaskFormer; also SAN and
    OVSeg]: `images_detectron2/validation/ID.jpg`, the short side at most 512 pixels, and
    `annotations_detectron2/validation/ID.tif`, 16 bits: 0 to 846, 65535 not scored.

    The release itself is not read: which of its 3,000 numbers are which class, that preparation
    knows.

    Arguments and errors are those of `ade150`; root is ADE20K_2021_17_01 or the folder above.
    """
    part = _FOLDERS[choose_split(split, tuple(_FOLDERS), name)]
    classes = shipped_classes(name)
    images, masks = f"images_detectron2/{part}", f"annotations_detectron2/{part}"
    folder = locate(
        root,
        ("ADE20K_2021_17_01", "ade/ADE20K_2021_17_01"),
        ((images,), (masks,)),
        "ADE20K of 2021 in MaskFormer's preparation",
    )
    table = LabelTable.of({**{i: i for i in range(len(classes))}, 65535: IGNORE})
    return _dataset(name, folder / images, folder / masks, ".tif", table)


def _dataset(name: str, images: Path, masks: Path, suffix: str, table: LabelTable) -> Dataset:
    items = []
    for photo in pictures_in(images, (".jpg",)):
        mask = masks / f"{photo.stem}{suffix}"
        items.append(file_item(photo.stem, photo, partial(read_truth, mask, table), mask))
    return Dataset(name, shipped_classes(name), tuple(items))
