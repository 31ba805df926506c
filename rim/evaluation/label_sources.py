"""The sources of the labels that are scored: a bank's query engine, or label maps in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rim.evaluation.class_mapping import ClassMapping
from rim.evaluation.datasets.base import Item, Sample, listing, read_classes
from rim.evaluation.datasets.label_files import read_label_map
from schemas.digests import canonical_json, sha256_bytes
from schemas.errors import ImageError, UsageError
from schemas.ids import UNLABELLED
from schemas.records import CategoryRecord
from schemas.store.bank import StoredBank

if TYPE_CHECKING:
    from query.segmentation import QueryEngine
    from schemas.settings import Settings

CLASSES_FILE = "classes.txt"
_RIM_SUFFIX = ".labels.png"
_PLAIN_SUFFIX = ".png"
# Sections of the settings for which the bank's digest stands; where its models lie does not matter.
_OF_THE_BUILD = (
    *("preset", "description", "known_categories", "models"),
    *("generation", "localisation", "reference", "build"),
)

Labeller = Callable[[Sample], NDArray[np.int32]]
"""Gives the label map (H, W) int32 of category ids, -1 unlabelled; ImageError if there is none."""


class LabelSource(Protocol):
    """Labels to score, of whichever origin."""

    @property
    def categories(self) -> Sequence[CategoryRecord]:
        """The categories that the labels stand for."""
        ...

    def marked(self, item: Item) -> Item:
        """The item, with the files that its labels are read from in its mark."""
        ...

    def identity(self, mapping: ClassMapping) -> dict[str, Any]:
        """All that determines the labels beside the images, as plain JSON data."""
        ...

    def labeller(self, mapping: ClassMapping) -> Labeller:
        """The function that labels samples; nothing is loaded before its first call."""
        ...


@dataclass(frozen=True)
class BankLabels:
    """Labels that a bank's query engine makes.

    Without a class for what is none of the categories, every region is labelled unless the user's
    own settings say otherwise: `matching.background=none` comes before them.

    Attributes:
        bank: whose categories are labelled with.
        settings: of proposals and matching, for overrides "section.key=value" that come before
            the user's own.
        engine: makes the query engine for the same overrides; called for the first image.
        on_stage: called with what is done before the first image, such as "loading segmenter".
    """

    bank: StoredBank
    settings: Callable[[tuple[str, ...]], Settings]
    engine: Callable[[tuple[str, ...]], QueryEngine]
    on_stage: Callable[[str], None]

    @property
    def categories(self) -> Sequence[CategoryRecord]:
        """The bank's categories."""
        return self.bank.categories

    def marked(self, item: Item) -> Item:
        """The item itself: its labels are read from no further file."""
        return item

    def identity(self, mapping: ClassMapping) -> dict[str, Any]:
        """Determined by the bank's version and the settings of the query; see `LabelSource`."""
        manifest = self.bank.manifest
        settings = self.settings(_overrides(mapping)).model_dump(mode="json")
        for key in _OF_THE_BUILD:
            settings.pop(key, None)
        return {
            "bank": {"version": manifest.version, "digest": manifest.digest},
            "settings": settings,
        }

    def labeller(self, mapping: ClassMapping) -> Labeller:
        """Labels by the query engine, with the categories that answer for a class alone."""

        @cache
        def loaded() -> QueryEngine:
            engine = self.engine(_overrides(mapping))
            engine.load(lambda role: self.on_stage(f"loading {role}"))
            self.on_stage("first image")
            return engine

        def label(sample: Sample) -> NDArray[np.int32]:
            return loaded().segment(sample.image, categories=mapping.class_of.keys()).label_map

        return label


def _overrides(mapping: ClassMapping) -> tuple[str, ...]:
    return ("matching.background=none",) if mapping.unlabelled_class == UNLABELLED else ()


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

    def identity(self, mapping: ClassMapping) -> dict[str, Any]:
        """Determined by the categories and the form of the files; see `LabelSource`."""
        names = [(c.category_id, c.name, c.synonyms) for c in self.categories]
        digest = sha256_bytes(canonical_json(names))
        return {"predictions": {"categories": digest, "suffix": self.suffix}}

    def labeller(self, mapping: ClassMapping) -> Labeller:
        """The function `label`: the files hold whatever was labelled."""
        return self.label

    def marked(self, item: Item) -> Item:
        """The item with its label map in its mark: size in bytes and time of the last change."""
        file = self.file(item.name)
        try:
            stat = file.stat()
            mark = f"{stat.st_size}@{stat.st_mtime_ns}"
        except OSError:
            mark = "none"
        return Item(item.name, item.load, f"{item.mark}:{mark}", (*item.files, file))
