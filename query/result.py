"""The result of a query as plain data: a labelled photo, its regions, their references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.rle import Rle

if TYPE_CHECKING:
    from query.region_mask import RegionMask


@dataclass(frozen=True)
class NearReference:
    """A reference image that stands behind a region's category.

    Attributes:
        image_id: of the bank; `images` in SQL has its PNG, prompt and seed.
        category: of the reference, which may be another than the region's if voters disagreed.
        similarity: cosine of its foreground feature to the region's, in [-1, 1].
    """

    image_id: int
    category: str
    similarity: float


@dataclass(frozen=True)
class Region:
    """One region of a photo and its category.

    Example:
        >>> for region in rim.query("bank", "photo.png").regions:
        ...     print(region.category, region.score, region.references[0].image_id)

    Attributes:
        category, category_id: of the bank.
        score: in [0, 1], as the matcher defines it.
        similarity: cosine to the best prototype or reference of the category, in [-1, 1].
        area: pixels, before other regions cover some of them.
        box: (x, y, width, height) in pixels.
        mask: in the photo's size; `rle` has its run lengths.
        references: most similar first.
    """

    category: str
    category_id: int
    score: float
    similarity: float
    area: int
    box: tuple[int, int, int, int]
    mask: RegionMask | Rle = field(repr=False)
    references: tuple[NearReference, ...]

    @property
    def rle(self) -> Rle:
        """The mask, COCO run lengths, in the photo's size; made when they are first asked for."""
        return self.mask if isinstance(self.mask, Rle) else self.mask.rle


@dataclass(frozen=True, eq=False, repr=False)
class LabelledPhoto:
    """A labelled photo.

    Attributes:
        image: uint8 (H, W, 3), the photo.
        label_map: (H, W) int32, category_id of each pixel, -1 unlabelled.
        regions: by falling score; regions that were rejected as background are not among them,
            and pixels under no region may still have the label of their patch.
        category_names: name by category_id, of all the bank's categories.
        bank_version: the version of the bank that was asked.
    """

    image: NDArray[np.uint8]
    label_map: NDArray[np.int32]
    regions: tuple[Region, ...]
    category_names: Mapping[int, str]
    bank_version: int
