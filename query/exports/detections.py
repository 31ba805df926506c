"""Regions as `supervision.Detections`, for that library's annotators, trackers and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from foundation.images.masks import decode_rle
from schemas.errors import UsageError

if TYPE_CHECKING:
    import supervision

    from query.result import Segmentation


def to_detections(segmentation: Segmentation) -> supervision.Detections:
    """The regions of a photo, by falling score.

    xyxy: float32 (n, 4), left, top, right, bottom in pixels, right and bottom outside the mask.
    mask: bool (n, H, W), which overlap as regions do. confidence: float32 (n,), the scores.
    class_id: int (n,), the bank's category_ids. data: "class_name" (n,) of str.

    Raises UsageError if the library `supervision` is not installed.
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise UsageError(
            f"expected the library supervision, found none that works ({error}); install it:"
            ' pip install "rim-bank[supervision]"'
        ) from error
    regions, shape = segmentation.regions, segmentation.label_map.shape
    boxes = np.array([one.box for one in regions], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    masks = np.zeros((len(regions), *shape), dtype=bool)
    for mask, one in zip(masks, regions, strict=True):
        mask[:] = decode_rle(one.rle)
    return Detections(
        xyxy=boxes,
        mask=masks,
        confidence=np.array([one.score for one in regions], np.float32),
        class_id=np.array([one.category_id for one in regions], np.int64),
        data={"class_name": np.array([one.category for one in regions], dtype=str)},
    )
