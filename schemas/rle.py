"""A mask in the form that banks and results store: COCO's compressed run lengths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rle:
    """A mask as COCO compressed run lengths.

    size: (height, width). counts: run lengths of pixels in column-major order, starting with a
    run of background, in COCO's printable base-32 code.
    """

    size: tuple[int, int]
    counts: str
