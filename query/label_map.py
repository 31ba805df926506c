"""From named regions and patches to one label per pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter

from query.cells import Cells
from schemas.ids import UNLABELLED

_VALUES_AT_ONCE = 1 << 22  # of interpolated ballots: 16 MB


def winners(ballots: NDArray[np.float32], category_ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """The category_id with most votes in each row.

    Args:
        ballots: (n, C + 1), the last column "none of these"; of equal votes the lower category_id.
        category_ids: (C,) of the other columns.

    Returns:
        (n,) int32; UNLABELLED where "none of these" wins, or where nobody voted.
    """
    ids = np.append(category_ids, np.int32(UNLABELLED))
    return np.where((ballots > 0).any(axis=1), ids[ballots.argmax(axis=1)], np.int32(UNLABELLED))


def patch_positions(length: int, patches: int) -> NDArray[np.float64]:
    """(length,) where the centre of each pixel lies among patch centres, along one axis.

    In patches, 0 at the centre of the first; pixels beyond the outer centres count as on them.
    """
    centres = (np.arange(length) + 0.5) * patches / length - 0.5
    return np.clip(centres, 0, patches - 1)


def patches_needed(uncovered: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """(gh, gw) bool: the patches between whose centres pixels (H, W) lie that are under no mask."""
    rows, columns = (
        np.floor(patch_positions(n, g)).astype(np.intp)
        for n, g in zip(uncovered.shape, grid, strict=True)
    )
    needed = np.zeros(grid, dtype=bool)
    y, x = np.nonzero(uncovered)
    needed[rows[y], columns[x]] = True
    corners = np.zeros((3, 3), bool)
    corners[1:, 1:] = True  # a pixel lies between its patch and the next ones right and below
    return np.asarray(binary_dilation(needed, corners))


def smoothed_tokens(tokens: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Patch tokens averaged over side x side patches, then L2-normalised [ours].

    One patch says little about what it is part of. At the border of the photo the outermost
    patches are repeated.

    Args:
        tokens: (gh, gw, d) float32.
        side: odd, 1 for no averaging.
    """
    if side > 1:
        tokens = uniform_filter(tokens, (side, side, 1), mode="nearest")
    length = np.linalg.norm(tokens, axis=2, keepdims=True)
    return np.asarray(tokens / np.maximum(length, np.finfo(np.float32).tiny), np.float32)


def label_pixels(
    cells: Cells, ballots: NDArray[np.float32], category_ids: NDArray[np.int32]
) -> NDArray[np.int32]:
    """(H, W) int32: every pixel takes the winner of its cell, UNLABELLED under no mask.

    Args:
        cells: of the photo.
        ballots: (n, C + 1) of each cell, see `query.cells.combine`.
        category_ids: (C,).
    """
    return winners(ballots, category_ids)[cells.of_pixel]


def fill_uncovered(
    labels: NDArray[np.int32],
    uncovered: NDArray[np.bool_],
    patch_ballots: NDArray[np.float32],
    category_ids: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Name pixels under no mask by the patches around them, interpolated bilinearly [ours].

    Args:
        labels: (H, W) int32.
        uncovered: (H, W) bool, the pixels to name.
        patch_ballots: (gh, gw, C + 1) float32; needed where `patches_needed` says so.
        category_ids: (C,).

    Returns:
        (H, W) int32, a copy.
    """
    labels = labels.copy()
    grid = (patch_ballots.shape[0], patch_ballots.shape[1])
    voted = np.flatnonzero((patch_ballots[:, :, :-1] > 0).any(axis=(0, 1)))
    kept = np.append(voted, patch_ballots.shape[2] - 1)
    ballots, ids = patch_ballots[:, :, kept], category_ids[voted]
    y, x = np.nonzero(uncovered)
    at_once = max(1, _VALUES_AT_ONCE // len(kept))
    rows, columns = (patch_positions(n, g) for n, g in zip(labels.shape, grid, strict=True))
    for start in range(0, len(y), at_once):
        py, px = y[start : start + at_once], x[start : start + at_once]
        labels[py, px] = winners(_bilinear(ballots, rows[py], columns[px]), ids)
    return labels


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
