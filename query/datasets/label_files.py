"""Label maps in files: PNG or TIFF with a number a pixel, and what those numbers stand for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from foundation.images import MAX_PIXELS
from schemas.errors import ImageError

IGNORE = -1
"""What a pixel that is not scored becomes in every truth."""

_UNKNOWN = -2
_FORMATS = ("PNG", "TIFF")
_MODES = ("1", "L", "P", "I")  # and I;16 of either byte order


def read_label_map(path: Path) -> NDArray[np.integer]:
    """The numbers in a label map, as they stand in the file.

    PNG or TIFF, told by content: palette (the indices, not the colours), grey of 8 or 16 bits, or
    32-bit integers.

    Returns:
        (H, W) integers of the file's own type.

    Raises:
        ImageError: no such file, damaged, colours instead of numbers, or more than
            `foundation.images.MAX_PIXELS` pixels. The message names the file.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise ImageError(f"{path}: expected a label map, found {found}")
    with warnings.catch_warnings():
        # The size is checked here, below the limit from which Pillow itself refuses.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=_FORMATS) as image:
                mode, (width, height) = image.mode, image.size
                numbers = mode in _MODES or mode.startswith("I;16")
                if numbers and width * height <= MAX_PIXELS:
                    labels = np.asarray(image)
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{path}: expected a label map ({', '.join(_FORMATS)}), found something else"
            ) from error
        except Exception as error:  # decoders raise nearly anything on hostile bytes
            raise ImageError(f"{path}: the label map cannot be decoded ({error})") from error
    if not numbers:
        raise ImageError(
            f"{path}: expected a label map with a number a pixel (palette or grey), found colours "
            f"(mode {mode}); convert it"
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path}: expected at most {MAX_PIXELS:,} pixels, found {width} x {height}"
        )
    return labels.astype(np.uint8) if labels.dtype == np.bool_ else labels


@dataclass(frozen=True, eq=False)
class LabelTable:
    """What the numbers in a dataset's files stand for.

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
