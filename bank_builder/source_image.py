"""A picture that nobody has looked at yet: which reference it is to be, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Origin:
    """Which reference image, and what it is made from.

    prompt, seed: None if it is not generated. file: the photo, relative to the folder of photos;
    None if it is no photo.
    """

    category_id: int
    category: str
    number: int
    source: str
    prompt: str | None = None
    seed: int | None = None
    file: str | None = None


@dataclass(frozen=True)
class SourceImage:
    """A picture, and what its source knows about where the category is.

    image: uint8 (H, W, 3) RGB. mask: bool (H, W), True = the category, drawn by a person; None if
    there is none. attention: float32 (h, w), the category's cross-attention, not scaled; its grid
    covers the image; None if the picture was not generated. flagged: the safety checker blacked
    the image out.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None
    attention: NDArray[np.float32] | None = None
    flagged: bool = False
