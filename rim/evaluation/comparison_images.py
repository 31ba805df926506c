"""Draws photo, truth and prediction side by side, as in the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.images.reading import encode_png, read_image
from query.overlay import draw_overlay
from rim.evaluation.datasets.base import Item, Sample
from schemas.errors import OutputError, UsageError
from schemas.ids import UNLABELLED
from schemas.store.files import write_atomic

_GAP = 4
_STRIPE = 4  # pixels


def comparison(
    image: NDArray[np.uint8],
    truth: NDArray[np.integer],
    prediction: NDArray[np.integer],
    names: Mapping[int, str],
    ignore: int = -1,
) -> NDArray[np.uint8]:
    """Draws the photo, its truth and its prediction from left to right.

    Classes have the colours and names of `query.overlay`, one colour a class in both. What the
    truth ignores is striped in grey and white there, what is unlabelled in the prediction is black.

    Args:
        image: uint8 (H, W, 3).
        truth, prediction: (H, W) classes; `ignore` in the truth, -1 unlabelled in the prediction.
        names: by class.

    Returns:
        uint8 (H, 3 W + two gaps of 4, 3); the gaps are white.
    """
    ignored = truth == ignore
    right = draw_overlay(image, np.where(ignored, UNLABELLED, truth).astype(np.int32), names).copy()
    rows, columns = np.indices(ignored.shape, sparse=True)
    light = (rows + columns) // _STRIPE % 2 == 0
    right[ignored & light] = 255
    right[ignored & ~light] = 128
    guess = draw_overlay(image, prediction.astype(np.int32), names).copy()
    guess[prediction == UNLABELLED] = 0
    gap = np.full((image.shape[0], _GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([image, gap, right, gap, guess], axis=1)


@dataclass(frozen=True)
class ComparisonFolder:
    """Writes the comparison NAME.png of chosen images.

    Attributes:
        folder: made if need be.
        chosen: names of the images.
        classes: names in the order of the labels.
    """

    folder: Path
    chosen: frozenset[str]
    classes: Sequence[str]

    @classmethod
    def open(
        cls, folder: Path, items: Sequence[Item], count: int, classes: Sequence[str]
    ) -> ComparisonFolder:
        """The folder for the comparisons of the first `count` items.

        Raises UsageError for a count below 1; OutputError if it cannot be a folder, or if a
        comparison would replace a file that is read.
        """
        if count < 1:
            raise UsageError(f"expected at least one image, found {count}")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: expected a folder for images, found a file")
        opened = cls(folder, frozenset(item.name for item in items[:count]), classes)
        for item in items[:count]:
            target = opened._file(item.name)
            if target.resolve() in {file.resolve() for file in item.files}:
                raise OutputError(
                    f"{target}: the image would replace this file of the data set; choose "
                    "another folder for --pictures"
                )
        return opened

    def missing(self) -> frozenset[str]:
        """The names of the chosen images that have no comparison yet."""
        return frozenset(name for name in self.chosen if not self._file(name).is_file())

    def draw(self, sample: Sample, prediction: NDArray[np.int64]) -> None:
        """Writes the comparison of a sample, if it is chosen.

        Raises OutputError if it cannot be written.
        """
        if sample.name not in self.chosen:
            return
        image = read_image(sample.image) if isinstance(sample.image, Path) else sample.image
        names = dict(enumerate(self.classes))
        drawn = comparison(image, sample.truth, prediction, names)
        path = self._file(sample.name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, encode_png(drawn))
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.png"
