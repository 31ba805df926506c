"""PASCAL VOC 2012 and PASCAL Context.

`voc21` has the class background, `voc20` has not. `context59`, `context60` and `context459` are on
the photos of VOC 2010.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim.evaluation.datasets.base import (
    Dataset,
    choose_split,
    file_item,
    images_in,
    locate,
    read_names,
    shipped_classes,
)
from rim.evaluation.datasets.label_files import IGNORE, LabelTable, read_truth
from schemas.errors import ImageError, UsageError
from schemas.vocabulary import Category

_VOC_OBJECTS = 20
_VOC_BORDER = 255

_PNG = "SegmentationClassContext"
_MAT = "trainval"
_TIF = "annotations_detectron2/pc459_val"
_OFFICIAL_NAMES = {"diningtable": "table"}  # of the 459; the 59 say dining table
_KNOWN = ("VOCdevkit/VOC2010", "VOC2010")


def voc(name: str, root: Path, split: str) -> Dataset:
    """Opens the official folder of PASCAL VOC 2012.

    It has `JPEGImages/ID.jpg`, `SegmentationClass/ID.png` (palette: 0 background, 1 to 20 the
    classes, 255 the borders between them, which are not scored) and the lists
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
    meaning = {label: label - first for label in range(first, _VOC_OBJECTS + 1)}
    table = LabelTable.of({0: IGNORE, **meaning, _VOC_BORDER: IGNORE})
    items = []
    for image in read_names(folder / listed):
        mask = folder / "SegmentationClass" / f"{image}.png"
        photo = folder / "JPEGImages" / f"{image}.jpg"
        items.append(file_item(image, photo, partial(read_truth, mask, table), mask))
    return Dataset(name, shipped_classes(name), tuple(items))


def context59(name: str, root: Path, split: str) -> Dataset:
    """Opens PASCAL Context with its 59 most frequent classes.

    `context60` has all other pixels as its first class, background, which `context59` ignores in
    the truth.

    Two preparations, the first one preferred:

    - `SegmentationClassContext/ID.png` (0 background, 1 to 59) with the lists
      `ImageSets/SegmentationContext/SPLIT.txt` [peer: mmsegmentation];
    - the official `trainval/ID.mat` of 459 labels, of which those named like one of the 59 are
      taken [ours; the numbers are those of mmsegmentation's converter], with the same list or
      `pascalcontext_val.txt`.

    PNG files in `annotations_detectron2/pc59_val` are not read: two projects write them under
    that name with their classes in different orders.

    Args:
        name: "context59" or "context60".
        root: VOC2010, VOCdevkit or the folder above.
        split: "val" or "train".

    Raises UsageError for another folder or split.
    """
    choose_split(split, ("val", "train"), name)
    folder = locate(
        root, _KNOWN, (("JPEGImages",), (_PNG, _MAT), _lists(split)), f"PASCAL Context ({name})"
    )
    classes = shipped_classes(name)
    first = 1 if name == "context59" else 0
    names = _listed(folder, split)
    if (folder / _PNG).is_dir():
        meaning = {label: label - first for label in range(first, 60)}
        table = LabelTable.of({0: IGNORE, **meaning, 255: IGNORE})
        return _from_masks(name, classes, folder, names, _PNG, ".png", table)
    numbers = _official_numbers()
    official = dict.fromkeys(range(len(numbers) + 1), IGNORE if first else 0)
    for index, category in enumerate(classes[1 - first :], start=1 - first):
        squashed = _squashed(category.name)
        official[numbers[_OFFICIAL_NAMES.get(squashed, squashed)]] = index
    return _from_mat(name, classes, folder, names, official)


def context459(name: str, root: Path, split: str) -> Dataset:
    """Opens PASCAL Context with the 459 classes of its official list.

    Pixels without a label are ignored.

    Two preparations, the first one preferred:

    - `annotations_detectron2/pc459_val/ID.tif`, 16 bits: 0 to 458, 65535 ignored; the folder is
      the list [peer: SAN, OVSeg, CAT-Seg]; validation split only;
    - the official `trainval/ID.mat`, `LabelMap` with 0 for no label and 1 to 459, with
      `ImageSets/SegmentationContext/SPLIT.txt` or `pascalcontext_val.txt`.

    Arguments and errors are those of `context59`.
    """
    choose_split(split, ("val", "train"), name)
    classes = shipped_classes(name)
    prepared = (_TIF,) if split == "val" else ()
    folder = locate(root, _KNOWN, (("JPEGImages",), (*prepared, _MAT)), "PASCAL Context (459)")
    if split == "val" and (folder / _TIF).is_dir():
        names = tuple(path.stem for path in images_in(folder / _TIF, (".tif", ".tiff")))
        table = LabelTable.of({**{i: i for i in range(len(classes))}, 65535: IGNORE})
        return _from_masks(name, classes, folder, names, _TIF, ".tif", table)
    official = {0: IGNORE, **{index + 1: index for index in range(len(classes))}}
    return _from_mat(name, classes, folder, _listed(folder, split), official)


def _lists(split: str) -> tuple[str, ...]:
    official = f"ImageSets/SegmentationContext/{split}.txt"
    return (official, "pascalcontext_val.txt") if split == "val" else (official,)


def _listed(folder: Path, split: str) -> tuple[str, ...]:
    for listed in _lists(split):
        if (folder / listed).is_file():
            return read_names(folder / listed)
    raise UsageError(
        f"{folder}: expected the list of images {' or '.join(_lists(split))}, found neither"
    )


def _from_masks(
    name: str,
    classes: tuple[Category, ...],
    folder: Path,
    names: tuple[str, ...],
    masks: str,
    suffix: str,
    table: LabelTable,
) -> Dataset:
    items = []
    for image in names:
        mask = folder / masks / f"{image}{suffix}"
        photo = folder / "JPEGImages" / f"{image}.jpg"
        items.append(file_item(image, photo, partial(read_truth, mask, table), mask))
    return Dataset(name, classes, tuple(items))


def _from_mat(
    name: str,
    classes: tuple[Category, ...],
    folder: Path,
    names: tuple[str, ...],
    meaning: Mapping[int, int],
) -> Dataset:
    table = LabelTable.of(meaning)
    items = []
    for image in names:
        mat = folder / _MAT / f"{image}.mat"
        photo = folder / "JPEGImages" / f"{image}.jpg"
        items.append(file_item(image, photo, partial(_read_mat, mat, table), mat))
    return Dataset(name, classes, tuple(items))


def _read_mat(path: Path, table: LabelTable) -> NDArray[np.int32]:
    from scipy.io import loadmat

    if not path.is_file():
        raise ImageError(f"{path}: expected an official label map, found nothing")
    try:
        labels = np.asarray(loadmat(path, variable_names=["LabelMap"])["LabelMap"])
    except Exception as error:  # the reader raises nearly anything on damaged bytes
        raise ImageError(
            f"{path}: expected a MATLAB file with LabelMap in it, cannot be read ({error})"
        ) from error
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ImageError(
            f"{path}: expected integers (H, W) in LabelMap, found {labels.dtype} {labels.shape}"
        )
    return table.apply(labels, path)


def _official_numbers() -> dict[str, int]:
    """The number in the official label maps by name without spaces, from 1."""
    names = (_squashed(category.name) for category in shipped_classes("context459"))
    return {name: number for number, name in enumerate(names, start=1)}


def _squashed(name: str) -> str:
    return name.replace(" ", "")
