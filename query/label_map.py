"""From matched regions to one label per pixel: overlaps, rejected regions, pixels under no mask."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1


def above_background(
    category_id: NDArray[np.int32], similarity: NDArray[np.float32], background: float | None
) -> NDArray[np.int32]:
    """The categories, UNLABELLED where the cosine is below `background` (None: never)."""
    if background is None:
        return category_id
    return np.where(similarity < background, UNLABELLED, category_id).astype(np.int32)


def paint_order(
    category_id: NDArray[np.int32], score: NDArray[np.float32], area: NDArray[np.int64]
) -> NDArray[np.intp]:
    """The order in which regions are painted; a later one covers the earlier ones.

    Where regions overlap the higher match score wins the pixel, of equal scores the smaller
    region, of equally small ones the earlier [ours]. A rejected region (UNLABELLED) wins over no
    other: it comes first.

    Args:
        category_id, score, area: (r,) of each region.

    Returns:
        (r,) indices.
    """
    last_first = -np.arange(len(score))
    accepted = category_id != UNLABELLED
    return np.lexsort((last_first, -area.astype(np.int64), score, accepted))


def paint(
    size: tuple[int, int], regions: Iterable[tuple[NDArray[np.bool_], int]]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Paint masks over each other, in the order given, one in memory at a time.

    Args:
        size: (H, W) of the photo.
        regions: masks (H, W) bool, each with its category_id.

    Returns:
        label map (H, W) int32, UNLABELLED where nothing was painted or a rejected region was; and
        (H, W) bool, the pixels under any mask.
    """
    labels = np.full(size, UNLABELLED, dtype=np.int32)
    covered = np.zeros(size, dtype=bool)
    for mask, category_id in regions:
        labels[mask] = category_id
        covered |= mask
    return labels, covered


def patch_of_pixels(length: int, patches: int) -> NDArray[np.intp]:
    """(length,) the patch that holds the centre of each pixel along one axis of the photo."""
    return ((2 * np.arange(length) + 1) * patches) // (2 * length)


def uncovered_patches(covered: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """(gh, gw) bool: the patches with at least one pixel (H, W) under no mask."""
    rows, columns = (patch_of_pixels(n, g) for n, g in zip(covered.shape, grid, strict=True))
    needed = np.zeros(grid, dtype=bool)
    y, x = np.nonzero(~covered)
    needed[rows[y], columns[x]] = True
    return needed


def fill_uncovered(
    labels: NDArray[np.int32], covered: NDArray[np.bool_], patch_labels: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Give pixels under no mask the label of their patch (nearest neighbour).

    Args:
        labels: (H, W) int32.
        covered: (H, W) bool, pixels that keep their label.
        patch_labels: (gh, gw) int32.
    """
    grid: tuple[int, int] = patch_labels.shape
    rows, columns = (patch_of_pixels(n, g) for n, g in zip(labels.shape, grid, strict=True))
    return np.where(covered, labels, patch_labels[rows[:, None], columns[None, :]])
