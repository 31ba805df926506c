"""Reads label maps from PNG or TIFF files, and turns their numbers into classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.images.image_file import open_image
from schemas.errors import ImageError
from schemas.text import printable

IGNORE = -1
"""The label of a pixel that is not scored, in every truth."""

_UNKNOWN = -2
_FORMATS = ("PNG", "TIFF")
_MODES = ("1", "L", "P", "I")  # and I;16 of either byte order


def read_label_map(path: Path) -> NDArray[np.integer]:
    """Reads the numbers in a label map, as they stand in the file.

    PNG or TIFF, told by content: palette (the indices, not the colours), grey of 8 or 16 bits, or
    32-bit integers.

    Returns:
        (H, W) integers of the file's own type.

    Raises:
        ImageError: see `foundation.images.image_file.open_image`, or colours instead of numbers.
            The message names the file.
    """
    with open_image(path, formats=_FORMATS, what="label map") as image:
        mode = image.mode
        if mode not in _MODES and not mode.startswith("I;16"):
            raise ImageError(
                f"{printable(path)}: expected a label map with a number a pixel (palette or grey), "
                f"found colours (mode {mode}); convert it"
            )
        labels = np.array(image)
    return labels.astype(np.uint8) if labels.dtype == np.bool_ else labels


@dataclass(frozen=True, eq=False)
class LabelTable:
    """The classes for which the numbers in a data set's files stand.

    Attributes:
        classes: (n,) int32, by number: the index of a class, IGNORE, or -2 for a number that has
            no meaning.
    """

    classes: NDArray[np.int32]

    @classmethod
    def of(cls, meaning: Mapping[int, int]) -> LabelTable:
        """The table of index of class (or IGNORE) by number."""
        classes = np.full(max(meaning) + 1, _UNKNOWN, np.int32)
        classes[list(meaning.keys())] = list(meaning.values())
        return cls(classes)

    def apply(self, labels: NDArray[np.integer], where: object) -> NDArray[np.int32]:
        """(H, W) int32 of classes and IGNORE for (H, W) numbers.

        Raises ImageError, naming `where`, for numbers without a meaning: it is another dataset's
        label map, or another preparation of it.
        """
        size = len(self.classes)
        outside = (labels < 0) | (labels >= size)
        classes = self.classes[np.where(outside, 0, labels)]
        unknown = outside | (classes == _UNKNOWN)
        if unknown.any():
            numbers = np.unique(labels[unknown])[:5].tolist()
            known = np.flatnonzero(self.classes != _UNKNOWN)
            raise ImageError(
                f"{where}: expected labels of this data set ({known[0]} to {known[-1]}), found "
                f"{', '.join(map(str, numbers))}; is it prepared in another way?"
            )
        return np.asarray(classes, dtype=np.int32)


def read_truth(path: Path, table: LabelTable) -> NDArray[np.int32]:
    """(H, W) int32 of classes and IGNORE from a label map's file; errors as of the two above."""
    return table.apply(read_label_map(path), path)
