"""Label maps that any system has written, to be scored in place of a bank's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim.evaluation.datasets.base import listing
from rim.evaluation.datasets.classes import read_classes
from rim.evaluation.datasets.label_files import read_label_map
from rim.evaluation.scoring import Item, Sample
from schemas.errors import ImageError, UsageError
from schemas.ids import UNLABELLED
from schemas.records import CategoryRecord

CLASSES_FILE = "classes.txt"
_RIM_SUFFIX = ".labels.png"
_PLAIN_SUFFIX = ".png"


@dataclass(frozen=True)
class StoredLabels:
    """A folder of label maps, one an image, NAME being the image's without its suffix:

    - NAME.png, 8 or 16 bits a pixel, grey or palette: the line in `classes.txt`, from 0; the
      largest number of the type, 255 or 65535, is unlabelled;
    - or, if there is any, NAME.labels.png as `rim query` writes it, 16 bits: 0 is unlabelled,
      otherwise category_id + 1. The categories are those of the bank, or the lines of
      `classes.txt`, from 0.

    Attributes:
        folder: where they are.
        categories: what the numbers stand for.
        suffix: ".png" or ".labels.png".
    """

    folder: Path
    categories: tuple[CategoryRecord, ...]
    suffix: str

    @classmethod
    def open(cls, folder: Path, bank: Sequence[CategoryRecord] | None = None) -> StoredLabels:
        """The label maps of a folder; `bank` are the categories of the bank that made them.

        Raises UsageError for a folder without label maps, or without `classes.txt` where it is
        needed; VocabularyError for that file.
        """
        if not folder.is_dir():
            raise UsageError(f"{folder}: expected a folder of label maps, found no folder")
        names = [path.name for path in folder.glob(f"*{_PLAIN_SUFFIX}")]
        of_rim = any(name.endswith(_RIM_SUFFIX) for name in names)
        if not names:
            raise UsageError(
                f"{folder}: expected label maps NAME.png or NAME.labels.png, found "
                f"{listing(folder)}"
            )
        suffix = _RIM_SUFFIX if of_rim else _PLAIN_SUFFIX
        listed = folder / CLASSES_FILE
        if listed.is_file():
            categories = tuple(
                CategoryRecord(category_id=number, name=one.name, synonyms=one.synonyms)
                for number, one in enumerate(read_classes(listed))
            )
        elif of_rim and bank is not None:
            categories = tuple(bank)
        else:
            hint = " (or the BANK that made them)" if of_rim else ""
            raise UsageError(
                f"{folder}: expected {CLASSES_FILE}, the name of every label, one a line{hint}, "
                "found none"
            )
        return cls(folder, categories, suffix)

    def file(self, name: str) -> Path:
        """The label map of an image."""
        return self.folder / f"{name}{self.suffix}"

    def label(self, sample: Sample) -> NDArray[np.int32]:
        """(H, W) int32 category ids, -1 unlabelled.

        Raises ImageError, naming the file, if it cannot be read, or has a number that stands for
        nothing.
        """
        path = self.file(sample.name)
        labels = read_label_map(path)
        if self.suffix == _RIM_SUFFIX:
            ids = labels.astype(np.int64) - 1
        else:
            unlabelled = 255 if labels.dtype.itemsize == 1 else 65535
            if len(self.categories) > unlabelled:
                raise ImageError(
                    f"{path}: expected 16 bits a pixel for {len(self.categories)} classes, found "
                    "8, of which 255 is unlabelled"
                )
            ids = np.where(labels == unlabelled, UNLABELLED, labels.astype(np.int64))
        known = [UNLABELLED, *(category.category_id for category in self.categories)]
        unknown = np.setdiff1d(ids, known)
        if unknown.size:
            shift = 1 if self.suffix == _RIM_SUFFIX else 0
            raise ImageError(
                f"{path}: expected labels of the {len(self.categories)} categories, found "
                f"{unknown[0] + shift}"
            )
        return ids.astype(np.int32)

    def marked(self, item: Item) -> Item:
        """The item with its label map in its mark: size in bytes and time of the last change."""
        file = self.file(item.name)
        try:
            stat = file.stat()
            mark = f"{stat.st_size}@{stat.st_mtime_ns}"
        except OSError:
            mark = "none"
        return Item(item.name, item.load, f"{item.mark}:{mark}", (*item.files, file))
