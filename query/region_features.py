"""Region features: patch tokens averaged under masks that are held at the working size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foundation.images.pooling import patch_overlap, pool_coverages
from query.enlargement import Axis, Enlargement
from query.region_mask import RegionMask

_POOLED_AT_ONCE = 1 << 26  # pixels of masks, at the working size, that one matrix product pools


class CoverageOfPatches:
    """Computes how much of every patch a mask covers, as `foundation.images.pooling` does.

    For most of a mask the share of each tile that it covers is enough. In tiles on its edge that
    the border of a patch goes through, every pixel is counted.
    """

    def __init__(self, enlargement: Enlargement, grid: tuple[int, int]) -> None:
        """For a grid of (gh, gw) patches."""
        rows, columns = enlargement.rows, enlargement.columns
        self._enlargement = enlargement
        self._of_rows = patch_overlap(enlargement.size[0], grid[0])
        self._of_columns = patch_overlap(enlargement.size[1], grid[1])
        self._of_tile_rows = rows.of_tiles(self._of_rows)
        self._of_tile_columns = columns.of_tiles(self._of_columns)
        self._row_divided = _divided(rows, grid[0])
        self._column_divided = _divided(columns, grid[1])

    def of(self, mask: RegionMask) -> NDArray[np.float32]:
        """(gh, gw) float32 in [0, 1]."""
        shares = mask.tile_shares()
        i, j = np.divmod(mask.edge_tiles, shares.shape[1])
        divided = self._row_divided[i] | self._column_divided[j]
        shares[i[divided], j[divided]] = 0
        covered = self._of_tile_rows @ shares @ self._of_tile_columns.T
        if divided.any():
            covered += self._of_edge(mask.edge_bits(divided), i[divided], j[divided])
        return np.asarray(covered.clip(0, 1))

    def _of_edge(
        self, bits: NDArray[np.bool_], i: NDArray[np.int32], j: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """(gh, gw), what the pixels (t, a, b) of the tiles (i, j) cover."""
        rows, columns = self._enlargement.rows, self._enlargement.columns
        y = rows.first[i][:, None] + np.arange(bits.shape[1])
        x = columns.first[j][:, None] + np.arange(bits.shape[2])
        # Places beyond a tile's own pixels, and the photo's, have no bit.
        across = self._of_columns.T[np.minimum(x, len(columns.interval_of) - 1)]
        down = self._of_rows.T[np.minimum(y, len(rows.interval_of) - 1)]
        return np.tensordot(down, bits.astype(np.float32) @ across, axes=((0, 1), (0, 1)))


def region_features(
    tokens: NDArray[np.float32], masks: Sequence[RegionMask], enlargement: Enlargement
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Computes one feature for each mask, as `foundation.images.pooling.pool_regions` does.

    Args:
        tokens: (gh, gw, d) float32.
        masks: n of one photo.
        enlargement: of that photo.

    Returns:
        (n, d) float32 features, L2-normalised, and (n,) bool: whether a mask has one.
    """
    coverage = CoverageOfPatches(enlargement, (tokens.shape[0], tokens.shape[1]))
    height, width = enlargement.working_size
    at_once = max(1, _POOLED_AT_ONCE // (height * width))
    features = np.zeros((len(masks), tokens.shape[2]), np.float32)
    valid = np.zeros(len(masks), np.bool_)
    for start in range(0, len(masks), at_once):
        some = slice(start, start + at_once)
        coverages = np.stack([coverage.of(mask) for mask in masks[some]])
        features[some], valid[some] = pool_coverages(tokens, coverages)
    return features, valid


def _divided(axis: Axis, patches: int) -> NDArray[np.bool_]:
    """(l,) bool: intervals that do not lie within one of the patches."""
    length = len(axis.interval_of)
    first = axis.first[:-1] * patches // length
    last = -(-axis.first[1:] * patches // length) - 1
    return np.asarray(first != last)
