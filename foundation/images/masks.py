"""Binary masks: COCO run lengths, overlap, area and bounding box."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from foundation.images.reading import MAX_PIXELS
from schemas.errors import ImageError
from schemas.rle import Rle

__all__ = [
    "Rle",
    "decode_rle",
    "encode_rle",
    "encode_runs",
    "mask_area_fraction",
    "mask_box",
    "mask_iou",
]


def encode_rle(mask: npt.NDArray[np.bool_]) -> Rle:
    """The run lengths of a bool mask (H, W); `decode_rle` is its inverse."""
    _check_mask(mask)
    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Rle((mask.shape[0], mask.shape[1]), encoded["counts"].decode("ascii"))


def encode_runs(size: tuple[int, int], runs: npt.NDArray[np.integer]) -> Rle:
    """The run lengths of a mask of `size` (H, W) in COCO's code.

    Args:
        size: (height, width).
        runs: int (k,), pixels outside and inside by turns, column after column; together all. As
            pycocotools writes them, without an empty run at the end.

    Raises:
        ImageError: they do not fill the size.
    """
    if runs.min(initial=0) < 0 or runs.sum() != size[0] * size[1]:
        raise ImageError(f"expected run lengths for {size} pixels, found a sum of {runs.sum()}")
    if len(runs) > 1 and runs[-1] == 0:
        runs = runs[:-1]
    encoded = coco.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size)
    return Rle(size, encoded["counts"].decode("ascii"))


def decode_rle(rle: Rle) -> npt.NDArray[np.bool_]:
    """The bool mask (H, W) of COCO compressed run lengths.

    Parsed here rather than by pycocotools, whose C code trusts its input.

    Raises:
        ImageError: the text is not COCO's code, or its runs do not fill the size exactly.
    """
    runs = _checked_runs(rle)
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(rle.size, order="F")


def mask_iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Intersection over union of two bool masks of one shape (H, W), in [0, 1].

    Two empty masks have nothing in common: 0.

    Raises:
        ImageError: the shapes differ.
    """
    if a.shape != b.shape:
        raise ImageError(f"expected two masks of one size, found {a.shape} and {b.shape}")
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 0.0


def mask_area_fraction(mask: npt.NDArray[np.bool_]) -> float:
    """Share of a bool mask's (H, W) pixels that are set, in [0, 1]; 0 for a mask of no pixels."""
    return float(np.count_nonzero(mask) / mask.size) if mask.size else 0.0


def mask_box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The smallest box (x, y, width, height), in pixels, around a bool mask's (H, W) set pixels.

    (0, 0, 0, 0) for an empty mask.
    """
    _check_mask(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return 0, 0, 0, 0
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def _check_mask(mask: npt.NDArray[np.bool_]) -> None:
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ImageError(f"expected a bool mask (H, W), found {mask.dtype} {mask.shape}")


def _checked_runs(rle: Rle) -> list[int]:
    """The lengths of the runs, outside and inside by turns, which fill the size exactly."""
    height, width = rle.size
    runs = _run_lengths(rle.counts)
    sides = min(height, width) >= 0 and max(height, width) <= MAX_PIXELS
    if not sides or min(runs, default=0) < 0 or not sum(runs) == height * width <= MAX_PIXELS:
        raise ImageError(
            f"expected run lengths for {height} x {width} = {height * width} pixels, "
            f"found runs that sum to {sum(runs)}; the mask is damaged"
        )
    return runs


def _run_lengths(counts: str) -> list[int]:
    """The runs of COCO's code: groups of five bits, low first, bit 6 = more follows, from '0' on.

    From the fourth run on, each is stored as its difference to the run two before it.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ImageError(f"expected COCO run lengths, found the character {character!r}")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ImageError("expected COCO run lengths, found a text that stops within a number")
    return runs
