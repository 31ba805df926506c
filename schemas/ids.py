"""Ids of images and features, packed from what they stand for and never from a position.

    image_id   = category_id << 24 | source code << 20 | number      (fits into 55 bits)
    feature_id = image_id << 1 | role                                (fits into 56 bits)

Sources: diffusion 0, folder 1. Roles: foreground 0, background 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the settings need a limit from here, and should load fast
    import numpy as np
    import numpy.typing as npt

DIFFUSION: Final = "diffusion"
FOLDER: Final = "folder"
SOURCES: tuple[str, ...] = (DIFFUSION, FOLDER)
ROLES: tuple[str, ...] = ("foreground", "background")
FOREGROUND = 0
BACKGROUND = 1

UNLABELLED = -1
"""The category_id of what is none of the categories."""

NUMBER_BITS = 20
SOURCE_BITS = 4
CATEGORY_BITS = 31
MAX_NUMBER = (1 << NUMBER_BITS) - 1
MAX_CATEGORY_ID = (1 << CATEGORY_BITS) - 1
_CATEGORY_SHIFT = NUMBER_BITS + SOURCE_BITS
_MAX_IMAGE_ID = (1 << (_CATEGORY_SHIFT + CATEGORY_BITS)) - 1


@dataclass(frozen=True)
class ImageKey:
    """What an image_id stands for."""

    category_id: int
    source: str
    number: int


@dataclass(frozen=True)
class ImageKeys:
    """What many image_ids stand for, one entry each: three arrays of the shape of the ids."""

    category_id: npt.NDArray[np.int32]
    source_code: npt.NDArray[np.int8]
    number: npt.NDArray[np.int32]


def pack_image_id(category_id: int, source: str, number: int) -> int:
    """The image_id of image `number` (0..2^20-1) of a category (0..2^31-1) from a source.

    Raises ValueError if one of them is out of its range.
    """
    if source not in SOURCES:
        raise ValueError(f"expected a source out of {', '.join(SOURCES)}, found {source!r}")
    _check_range("category_id", category_id, MAX_CATEGORY_ID)
    _check_range("number", number, MAX_NUMBER)
    return category_id << _CATEGORY_SHIFT | SOURCES.index(source) << NUMBER_BITS | number


def unpack_image_id(image_id: int) -> ImageKey:
    """Category, source and number of one image_id; ValueError if no image can have it."""
    _check_range("image_id", image_id, _MAX_IMAGE_ID)
    code = image_id >> NUMBER_BITS & ((1 << SOURCE_BITS) - 1)
    if code >= len(SOURCES):
        raise ValueError(f"image_id {image_id} names the unknown source code {code}")
    return ImageKey(image_id >> _CATEGORY_SHIFT, SOURCES[code], image_id & MAX_NUMBER)


def unpack_image_ids(image_ids: npt.ArrayLike) -> ImageKeys:
    """Category ids, source codes and numbers of many int64 image_ids, any shape.

    Raises ValueError if one of them is out of range.
    """
    ids = _as_ids("image_id", image_ids, _MAX_IMAGE_ID)
    code = ids >> NUMBER_BITS & ((1 << SOURCE_BITS) - 1)
    if code.size and code.max() >= len(SOURCES):
        raise ValueError(f"an image_id names the unknown source code {code.max()}")
    return ImageKeys(
        category_id=(ids >> _CATEGORY_SHIFT).astype("int32"),
        source_code=code.astype("int8"),
        number=(ids & MAX_NUMBER).astype("int32"),
    )


def pack_feature_id(image_id: int, role: int) -> int:
    """The feature_id of an image's foreground (role 0) or background (role 1)."""
    _check_range("image_id", image_id, _MAX_IMAGE_ID)
    _check_range("role", role, BACKGROUND)
    return image_id << 1 | role


def unpack_feature_ids(
    feature_ids: npt.ArrayLike,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """(image_id int64, role int8) of many int64 feature_ids, any shape."""
    ids = _as_ids("feature_id", feature_ids, _MAX_IMAGE_ID << 1 | 1)
    return ids >> 1, (ids & 1).astype("int8")


def _check_range(what: str, value: int, largest: int) -> None:
    if not 0 <= value <= largest:
        raise ValueError(f"expected a {what} from 0 to {largest}, found {value}")


def _as_ids(what: str, values: npt.ArrayLike, largest: int) -> npt.NDArray[np.int64]:
    import numpy as np

    ids = np.asarray(values)
    if ids.size == 0:
        return ids.astype(np.int64)
    if ids.dtype.kind not in "iu":
        raise ValueError(f"expected integer {what}s, found dtype {ids.dtype}")
    if ids.min() < 0 or ids.max() > largest:
        raise ValueError(f"expected {what}s from 0 to {largest}, found {ids.min()} to {ids.max()}")
    return ids.astype(np.int64)
