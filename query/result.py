"""The result of a query: one photo's label map, its regions, and the references behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation.images.reading import encode_png
from query.overlay import draw_overlay
from schemas.ids import UNLABELLED
from schemas.rle import Rle

if TYPE_CHECKING:
    import supervision

    from query.region_mask import RegionMask


SHOWN_SIDE = 1000
"""Pixels of the longer side of the overlay in a notebook."""


@dataclass(frozen=True)
class NearReference:
    """A reference image that stands behind a region's category.

    Attributes:
        image_id: of the bank; `images` in SQL has its picture, prompt and seed.
        category: of the reference, which may be another than the region's if voters disagreed.
        similarity: cosine of its foreground feature to the region's, in [-1, 1].
    """

    image_id: int
    category: str
    similarity: float


@dataclass(frozen=True)
class Region:
    """One region of a photo and its category.

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
class Segmentation:
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

    def overlay(self) -> NDArray[np.uint8]:
        """The photo with its labels drawn over it, uint8 (H, W, 3)."""
        return draw_overlay(self.image, self.label_map, self.category_names)

    def __repr__(self) -> str:
        height, width = self.label_map.shape
        named = f"{len(self.regions)} regions of {len({one.category_id for one in self.regions})}"
        unlabelled = np.count_nonzero(self.label_map == UNLABELLED) / max(1, self.label_map.size)
        return f"Segmentation({width} x {height}, {named} categories, {unlabelled:.0%} unlabelled)"

    def _repr_png_(self) -> bytes:
        """The overlay, for a notebook, at most SHOWN_SIDE pixels long."""
        picture = Image.fromarray(self.overlay())
        picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        return encode_png(np.asarray(picture, dtype=np.uint8))

    def save(
        self,
        folder: str | Path,
        name: str,
        formats: Sequence[str] = ("labels", "overlay", "json"),
        *,
        photo: str | Path | None = None,
    ) -> tuple[Path, ...]:
        """Write NAME.labels.png, NAME.overlay.png and NAME.json into a folder, made if need be.

        Args:
            formats: out of "labels", "overlay", "json", "palette" and "labelme".
            photo: the photo's own file, where LabelMe is to find it.

        Returns the files written; see `query.exports.output.save` for their content and the errors.
        """
        from query.exports.output import save

        return save(self, Path(folder), name, formats, None if photo is None else Path(photo))

    def to_supervision(self) -> supervision.Detections:
        """The regions as `supervision.Detections`; see `query.exports.detections.to_detections`.

        Raises UsageError if the library `supervision` is not installed.
        """
        from query.exports.detections import to_detections

        return to_detections(self)
