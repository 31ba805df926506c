"""Cutting a photo into regions: proposals, their masks, features and partition."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundation.images.reading import read_image
from foundation.interfaces import Segmenter, Stack
from query.enlargement import Enlargement
from query.fuse import fuse_masks
from query.partition import find_partition
from query.photo import PhotoRegion, SegmentedPhoto
from query.proposals import propose
from query.region_features import pool_masks
from query.region_mask import RegionMask
from schemas.errors import ImageError

if TYPE_CHECKING:
    import torch

    from foundation.interfaces import ImageEmbedding
    from schemas.settings import Proposals

_PIXELS_AT_ONCE = 1 << 24  # of logits at the working size: 64 MB


def cut_photo(
    image: str | Path | NDArray[np.uint8], models: Stack, settings: Proposals
) -> SegmentedPhoto:
    """Cut a photo into regions, those without a feature left out.

    Args:
        image: a picture file, or uint8 (H, W, 3) RGB.
        models: SAM and the feature model.
        settings: the section `proposals`.

    Raises ImageError if the file is no picture, or the array has another shape or type; MemoryShort
    if the models' device has too little memory.
    """
    pixels = _as_pixels(image)
    return models.within_memory(lambda: _cut(pixels, models, settings))


def _cut(pixels: NDArray[np.uint8], models: Stack, settings: Proposals) -> SegmentedPhoto:
    models.activate("features")
    tokens = models.features.extract([pixels])[0]
    models.activate("segmenter")
    embedding = models.segmenter.embed(pixels)
    proposals = propose(models.segmenter, embedding, settings)
    fused = fuse_masks(
        proposals.masks, threshold=settings.fuse, max_fused_area=settings.max_fused_area
    )
    logits = proposals.united_logits([region.members for region in fused])
    return cut_by_logits(models.segmenter, embedding, logits, pixels, tokens)


def cut_by_logits(
    segmenter: Segmenter,
    embedding: ImageEmbedding,
    logits: torch.Tensor,
    pixels: NDArray[np.uint8],
    tokens: NDArray[np.float32],
) -> SegmentedPhoto:
    """Cut a photo into regions by the segmenter's logits.

    Everything happens at the working size; what the photo's size adds along the edges is worked
    out there alone. Features are pooled as the bank's were.

    Args:
        segmenter: whose logits these are.
        embedding: of the photo.
        logits: (n, h', w'), one region each.
        pixels: the photo, (H, W, 3).
        tokens: its patch tokens (gh, gw, d).
    """
    height, width = embedding.working_size
    enlargement = Enlargement.of(embedding.original_size, (height, width))
    at_once = max(1, _PIXELS_AT_ONCE // (height * width))
    masks = [
        RegionMask.of_logits(one, enlargement)
        for start in range(0, len(logits), at_once)
        for one in segmenter.working_logits(embedding, logits[start : start + at_once])
    ]
    features, valid = pool_masks(tokens, masks, enlargement)
    regions = tuple(PhotoRegion(masks[i], features[i]) for i in np.flatnonzero(valid).tolist())
    partition = find_partition(enlargement, [region.mask for region in regions])
    return SegmentedPhoto(pixels, tokens, regions, partition)


def _as_pixels(image: str | Path | NDArray[np.uint8]) -> NDArray[np.uint8]:
    if isinstance(image, (str, Path)):
        return read_image(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"expected uint8 (H, W, 3) RGB, found {image.dtype} {image.shape}")
    return image
