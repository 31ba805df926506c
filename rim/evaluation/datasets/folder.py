"""`folder`: the user's own images and label maps, with a list of classes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim.evaluation.datasets.base import Dataset, file_item, images_in, read_classes
from rim.evaluation.datasets.label_files import IGNORE, LabelTable, read_label_map
from schemas.errors import ImageError, UsageError
from schemas.vocabulary import Category

_MASK_SUFFIXES = (".png", ".tif", ".tiff")


def folder(images: Path, masks: Path, classes: Path, ignore: int | None = None) -> Dataset:
    """Opens a folder of images and one of label maps of the same names, such as NAME.jpg, NAME.png.

    A label map is PNG or TIFF with a number a pixel (palette or grey, 8 or 16 bits): the line in
    `classes`, from 0. A photo without a label map and the other way round are images that cannot
    be scored.

    Args:
        images, masks: folders; they may be one if the suffixes differ.
        classes: a file as `rim.evaluation.datasets.base.read_classes` reads it;
            `background` is a class.
        ignore: the number that is not scored; by default 255 in 8 bits and 65535 in 16 bits.

    Raises UsageError for an ignored number that is a class, and for folders without images;
    VocabularyError for the classes.
    """
    wanted = read_classes(classes)
    if ignore is not None and not len(wanted) <= ignore <= 65535:
        raise UsageError(
            f"expected an ignored label from {len(wanted)}, the number of classes in {classes}, to "
            f"65535, found {ignore}"
        )
    mask_files = {path.stem: path for path in images_in(masks, _MASK_SUFFIXES)}
    photos = {path.stem: path for path in _photos(images, masks)}
    items = []
    for name in sorted({*mask_files, *photos}):
        photo = photos.get(name, images / name)
        mask = mask_files.get(name, masks / f"{name}{_MASK_SUFFIXES[0]}")
        items.append(file_item(name, photo, partial(_read, mask, wanted, ignore), mask))
    return Dataset("folder", wanted, tuple(items))


def _photos(images: Path, masks: Path) -> tuple[Path, ...]:
    if images.resolve() != masks.resolve():
        return images_in(images)
    return images_in(images, (".jpg", ".jpeg", ".webp", ".bmp"))


def _read(path: Path, classes: tuple[Category, ...], ignore: int | None) -> NDArray[np.int32]:
    labels = read_label_map(path)
    if ignore is None:
        ignore = 255 if labels.dtype.itemsize == 1 else 65535
        if len(classes) > ignore:
            raise ImageError(
                f"{path}: expected a 16-bit label map for {len(classes)} classes, found 8 bits, "
                "of which 255 is not scored"
            )
    meaning = {**{i: i for i in range(len(classes))}, ignore: IGNORE}
    return LabelTable.of(meaning).apply(labels, path)
