"""How far a label map of a photograph is from the masks that were drawn by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foundation.images.reading import read_image
from query.overlay import draw_overlay
from rim.check.photos import CheckPhoto
from schemas.errors import UsageError
from schemas.ids import UNLABELLED


class LabelledPhoto(Protocol):
    """The part of `query.segmentation.Segmentation` that is scored and shown."""

    @property
    def label_map(self) -> NDArray[np.int32]:
        """(H, W) category ids, -1 unlabelled."""
        ...

    @property
    def category_names(self) -> Mapping[int, str]:
        """Names by category id."""
        ...

    def overlay(self) -> NDArray[np.uint8]:
        """The photo with its labels, uint8 (H, W, 3)."""
        ...


class LabelsPhotos(Protocol):
    """The part of `query.segmentation.QueryEngine` that labels photos."""

    def segment(self, image: Path) -> LabelledPhoto:
        """Labels one photo."""
        ...


def score_photo(
    photo: CheckPhoto, label_map: NDArray[np.int32], names: Mapping[int, str]
) -> dict[str, float]:
    """IoU of each category that a photograph shows, over the pixels that are not ignored.

    Args:
        photo: with its masks.
        label_map: (H, W) category ids, -1 unlabelled.
        names: by category id.

    Raises:
        UsageError: the label map has another size than the photograph.
    """
    if label_map.shape != photo.size:
        raise UsageError(f"{photo.file}: expected labels {photo.size}, found {label_map.shape}")
    scored = photo.scored()
    ids = {name: category_id for category_id, name in names.items()}
    scores = {}
    for name in photo.categories:
        truth = photo.mask(name) & scored
        found = (label_map == ids[name]) & scored if name in ids else np.zeros_like(truth)
        union = np.count_nonzero(truth | found)
        scores[name] = np.count_nonzero(truth & found) / union if union else 0.0
    return scores


def draw_truth(photo: CheckPhoto, names: Mapping[int, str]) -> NDArray[np.uint8]:
    """The photograph with its masks, as labels are drawn over it, uint8 (H, W, 3)."""
    truth = np.full(photo.size, UNLABELLED, np.int32)
    for category_id, name in names.items():
        if name in photo.categories:
            truth[photo.mask(name)] = category_id
    return draw_overlay(read_image(photo.check_file()), truth, names)
