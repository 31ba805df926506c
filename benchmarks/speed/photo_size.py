"""Labels a photo at its full size, region by region: the plain way, to compare with.

Every mask is enlarged and decoded as a whole. The tests of `query` compare with it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from foundation.images.masks import Rle, encode_rle, mask_box
from foundation.images.pooling import pool_regions
from foundation.interfaces import ImageEmbedding
from foundation.sam import SamSegmenter
from query.classification import Classifier
from query.label_map import combine, patch_positions, smoothed_tokens, winning_categories
from schemas.settings import Matching

_PIXELS_AT_ONCE = 1 << 26
_VALUES_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class LabelledAtPhotoSize:
    """(H, W) int32 labels; of the r regions their run lengths, boxes, and features (r, d)."""

    labels: NDArray[np.int32]
    masks: tuple[Rle, ...]
    boxes: tuple[tuple[int, int, int, int], ...]
    features: NDArray[np.float32]


def label_at_photo_size(
    segmenter: SamSegmenter,
    embedding: ImageEmbedding,
    logits: torch.Tensor,
    tokens: NDArray[np.float32],
    classifier: Classifier,
    settings: Matching,
) -> LabelledAtPhotoSize:
    """Labels a photo; every region and every pixel at its full size.

    Args:
        segmenter, embedding, logits, tokens: see `query.regions.find_regions`.
        namer: classifies, with the same settings.
        settings: the section `matching`; without filter or text.
    """
    height, width = embedding.original_size
    at_once = max(1, _PIXELS_AT_ONCE // (height * width))
    rles, edges, boxes, areas, features = [], [], [], [], []
    for start in range(0, len(logits), at_once):
        masks = segmenter.upsample(embedding, logits[start : start + at_once])
        pooled, valid = pool_regions(tokens, masks)
        for mask in masks[valid]:
            rles.append(encode_rle(mask))
            edges.append(_edges(mask))
            boxes.append(mask_box(mask))
            areas.append(np.count_nonzero(mask))
        features.append(pooled[valid])
    of_regions = np.concatenate([np.zeros((0, tokens.shape[2]), np.float32), *features])
    classification = classifier.classify(of_regions)
    part_of, members = _parts((height, width), edges)
    votes = combine(members, classification.votes(), np.array(areas, np.int64), settings.overlap)
    labels = winning_categories(votes, classification.category_ids)[part_of]
    if settings.patch_fallback:
        smooth = smoothed_tokens(tokens, settings.patch_smoothing)
        uncovered = np.asarray(~members.any(axis=1))[part_of]
        needed = _patches_around(uncovered, (tokens.shape[0], tokens.shape[1]))
        patches = np.zeros((*needed.shape, votes.shape[1]), np.float32)
        patches[needed] = classifier.classify(smooth[needed]).votes()
        labels[uncovered] = interpolated_winners(uncovered, patches, classification.category_ids)
    return LabelledAtPhotoSize(labels, tuple(rles), tuple(boxes), of_regions)


def _edges(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Where a mask begins and ends along its pixels, column after column, ascending."""
    columns = mask.ravel(order="F")
    return np.flatnonzero(np.diff(columns, prepend=False))


def _parts(
    size: tuple[int, int], edges: Sequence[NDArray[np.intp]]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(H, W) the part of each pixel, and (n, r) which masks lie over each part.

    Pixel number p (= x * height + y) is in a mask if an odd number of its edges is at most p.
    """
    height, width = size
    words = np.random.default_rng(0).integers(1, 2**64, size=len(edges), dtype=np.uint64)
    changes = np.zeros(height * width + 1, np.uint64)
    for word, own in zip(words, edges, strict=True):
        np.bitwise_xor.at(changes, own, word)
    signature = np.bitwise_xor.accumulate(changes[:-1])
    _, first, part = np.unique(signature, return_index=True, return_inverse=True)
    members = np.zeros((len(first), len(edges)), np.bool_)
    for column, own in enumerate(edges):
        members[:, column] = np.searchsorted(own, first, side="right") % 2 == 1
    return part.reshape(width, height).T, members


def interpolated_winners(
    wanted: NDArray[np.bool_], patch_votes: NDArray[np.float32], category_ids: NDArray[np.int32]
) -> NDArray[np.int32]:
    """(k,) the labels of the pixels (H, W) that are wanted, all votes interpolated for each."""
    grid = (patch_votes.shape[0], patch_votes.shape[1])
    rows, columns = (patch_positions(n, g) for n, g in zip(wanted.shape, grid, strict=True))
    y, x = np.nonzero(wanted)
    labels = np.empty(len(y), np.int32)
    at_once = max(1, _VALUES_AT_ONCE // patch_votes.shape[2])
    for start in range(0, len(y), at_once):
        some = slice(start, start + at_once)
        values = _bilinear(patch_votes, rows[y[some]], columns[x[some]])
        labels[some] = winning_categories(values, category_ids)
    return labels


def _patches_around(wanted: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """(gh, gw) bool, the patches between whose centres a wanted pixel lies."""
    needed = np.zeros(grid, np.bool_)
    y, x = np.nonzero(wanted)
    rows, columns = (
        np.floor(patch_positions(n, g)).astype(np.intp)
        for n, g in zip(wanted.shape, grid, strict=True)
    )
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        below, right = (
            np.minimum(rows + down, grid[0] - 1),
            np.minimum(columns + across, grid[1] - 1),
        )
        needed[below[y], right[x]] = True
    return needed


def _bilinear(
    values: NDArray[np.float32], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(n, c) of values (gh, gw, c) at positions inside the grid."""
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    bottom = np.minimum(top + 1, values.shape[0] - 1)
    right = np.minimum(left + 1, values.shape[1] - 1)
    down = (y - top).astype(np.float32)[:, None]
    across = (x - left).astype(np.float32)[:, None]
    upper = (1 - across) * values[top, left] + across * values[top, right]
    lower = (1 - across) * values[bottom, left] + across * values[bottom, right]
    return np.asarray((1 - down) * upper + down * lower)
