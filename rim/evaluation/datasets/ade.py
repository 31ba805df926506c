"""ADE20K: `ade150`, the scene parsing challenge, and `ade847`, all classes that are common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rim.evaluation.datasets.base import (
    Dataset,
    choose_split,
    file_item,
    images_in,
    locate,
    shipped_classes,
)
from rim.evaluation.datasets.label_files import IGNORE, LabelTable, read_truth

_FOLDERS = {"val": "validation", "train": "training"}


@dataclass(frozen=True)
class _Release:
    """A preparation of ADE20K: its folder, the ending of the folders in it, the suffix of its label
    maps, and its title in messages.
    """

    folder: str
    ending: str
    suffix: str
    title: str


def ade150(name: str, root: Path, split: str) -> Dataset:
    """Opens the official folder of the scene parsing challenge.

    It has `images/validation/ID.jpg` and `annotations/validation/ID.png` (0 is not scored, 1 to
    150 are the classes).

    Args:
        name: "ade150".
        root: ADEChallengeData2016 or the folder above.
        split: "val" or "train".

    Raises UsageError for another folder or split.
    """
    table = LabelTable.of({0: IGNORE, **{i + 1: i for i in range(len(shipped_classes(name)))}})
    release = _Release("ADEChallengeData2016", "", ".png", "the ADE20K challenge")
    return _dataset(name, root, split, release, table)


def ade847(name: str, root: Path, split: str) -> Dataset:
    """Opens ADE20K as prepared from its release of 2021 for 847 classes [peer: MaskFormer, SAN,
    OVSeg].

    It has `images_detectron2/validation/ID.jpg`, the short side at most 512 pixels, and
    `annotations_detectron2/validation/ID.tif`, 16 bits: 0 to 846, 65535 not scored.

    The release itself is not read: which of its 3,000 numbers are which class, that preparation
    knows.

    Arguments and errors are those of `ade150`; root is ADE20K_2021_17_01 or the folder above.
    """
    table = LabelTable.of({**{i: i for i in range(len(shipped_classes(name)))}, 65535: IGNORE})
    release = _Release(
        "ADE20K_2021_17_01",
        "_detectron2",
        ".tif",
        "ADE20K of 2021 in MaskFormer's preparation",
    )
    return _dataset(name, root, split, release, table)


def _dataset(name: str, root: Path, split: str, release: _Release, table: LabelTable) -> Dataset:
    part = _FOLDERS[choose_split(split, tuple(_FOLDERS), name)]
    images, masks = f"images{release.ending}/{part}", f"annotations{release.ending}/{part}"
    known = (release.folder, f"ade/{release.folder}")
    folder = locate(root, known, ((images,), (masks,)), release.title)
    items = []
    for photo in images_in(folder / images, (".jpg",)):
        mask = folder / masks / f"{photo.stem}{release.suffix}"
        items.append(file_item(photo.stem, photo, partial(read_truth, mask, table), mask))
    return Dataset(name, shipped_classes(name), tuple(items))
