"""A mask in the form that the bank stores: COCO's compressed run lengths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rle:
    """COCO's compressed run lengths of a mask, down the columns. size: (height, width)."""

    size: tuple[int, int]
    counts: str
