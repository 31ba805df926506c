"""Enlargement: how masks at a smaller working size determine the pixels of the photo.

Masks are worked on at a smaller *working size* and enlarged bilinearly. Pixels of the photo between
the same four working pixels are a *tile*, numbered i * w + j by the working pixel (i, j) at
its upper left. Interpolation never leaves the range of the four: where all are above 0, so is the
whole tile. Only in tiles whose corners differ has the photo's size anything to add.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_VALUES_AT_ONCE = 1 << 21  # of interpolated logits: 8 MB


@dataclass(frozen=True, eq=False)
class Axis:
    """One side of a photo in intervals: the pixels between the same two working pixels.

    Attributes:
        first: (l + 1,) int64, the first pixel of each of the l intervals; the last is the length.
        interval_of: (L,) intp, the interval of each pixel.
        fraction: (l, m) float32, how far each pixel of an interval lies on the way to the second
            working pixel, in [0, 1]; NaN after an interval's last pixel.
    """

    first: NDArray[np.int64]
    interval_of: NDArray[np.intp]
    fraction: NDArray[np.float32]

    @classmethod
    def of(cls, length: int, working: int) -> Axis:
        """L pixels enlarged from `working` ones, at most as many.

        In float32 and in torch's order, so that pixels lie where `interpolate` has them
        (align_corners=False).
        """
        scale, half = np.float32(working / length), np.float32(0.5)
        position = np.maximum(scale * (np.arange(length, dtype=np.float32) + half) - half, 0)
        interval_of = np.minimum(position.astype(np.intp), working - 1)
        first = np.searchsorted(interval_of, np.arange(working + 1))
        pixels = first[:-1, None] + np.arange(np.diff(first).max())
        inside = pixels < first[1:, None]
        pixels = np.minimum(pixels, length - 1)
        fraction = np.clip(position - interval_of, 0, 1).astype(np.float32)[pixels]
        fraction[~inside] = np.nan
        return cls(first.astype(np.int64), interval_of, fraction)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(l,) pixels of each interval."""
        return np.diff(self.first)

    def of_tiles(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """(g, l) float32: weights (g, L) of pixels added up to those of intervals."""
        if weights.shape[1] == len(self.counts):
            return weights
        total = np.zeros((len(weights), weights.shape[1] + 1))
        np.cumsum(weights, axis=1, dtype=np.float64, out=total[:, 1:])
        return np.diff(total[:, self.first], axis=1).astype(np.float32)

    @property
    def following(self) -> NDArray[np.intp]:
        """(l,) the second working pixel of each interval; the last one has no other."""
        return np.minimum(np.arange(1, len(self.first)), len(self.first) - 2)


@dataclass(frozen=True, eq=False)
class Enlargement:
    """The enlargement from the working size to the photo's size, which is nowhere smaller."""

    rows: Axis
    columns: Axis

    @classmethod
    def of(cls, size: tuple[int, int], working_size: tuple[int, int]) -> Enlargement:
        """For a photo of (height, width), worked on at (height, width)."""
        return cls(*(Axis.of(*lengths) for lengths in zip(size, working_size, strict=True)))

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the photo."""
        return len(self.rows.interval_of), len(self.columns.interval_of)

    @property
    def working_size(self) -> tuple[int, int]:
        """(h, w)."""
        return len(self.rows.first) - 1, len(self.columns.first) - 1

    @cached_property
    def enlarges(self) -> bool:
        """False where the sizes are equal, so that every tile is the pixel itself."""
        return self.size != self.working_size

    @cached_property
    def tile_pixels(self) -> tuple[int, int]:
        """Rows and columns of the largest tile."""
        return self.rows.fraction.shape[1], self.columns.fraction.shape[1]

    def corners(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(h, w) bool each: the tiles wholly under a mask (h, w), and those on its edge.

        The latter only where the tile has a pixel.
        """
        if not self.enlarges:
            return mask, np.zeros_like(mask)
        every, some = mask.copy(), mask.copy()
        every[:, :-1] &= mask[:, 1:]
        some[:, :-1] |= mask[:, 1:]
        every[:-1] &= every[1:]
        some[:-1] |= some[1:]
        some &= (self.rows.counts > 0)[:, None] & (self.columns.counts > 0)
        return every, some & ~every

    def pixels_above(
        self, logits: NDArray[np.float32], tiles: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """(t, a, b) bool: which pixels of tiles have logits above 0; False beyond a tile's pixels.

        Args:
            logits: (h, w).
            tiles: (t,) numbers.
        """
        height, width = self.tile_pixels
        inside = np.empty((len(tiles), height, width), np.bool_)
        at_once = max(1, _VALUES_AT_ONCE // (height * width))
        for start in range(0, len(tiles), at_once):
            i, j = np.divmod(tiles[start : start + at_once], logits.shape[1])
            below, right = self.rows.following[i], self.columns.following[j]
            across, down = self.columns.fraction[j], self.rows.fraction[i]
            upper = (1 - across) * logits[i, j, None] + across * logits[i, right, None]
            lower = (1 - across) * logits[below, j, None] + across * logits[below, right, None]
            value = (1 - down)[:, :, None] * upper[:, None] + down[:, :, None] * lower[:, None]
            np.greater(value, 0, out=inside[start : start + at_once])  # NaN is not
        return inside

    def pixels_of(self, tiles: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(t, a, b) bool: which places of the largest tile each of some tiles has."""
        i, j = np.divmod(tiles, self.working_size[1])
        rows, columns = np.isfinite(self.rows.fraction[i]), np.isfinite(self.columns.fraction[j])
        return np.asarray(rows[:, :, None] & columns[:, None, :])

    def pixel_numbers(self, tiles: NDArray[np.int32]) -> NDArray[np.int64]:
        """(t, a, b) y * W + x of every place in some tiles; without meaning beyond a tile's own."""
        i, j = np.divmod(tiles, self.working_size[1])
        y = self.rows.first[i][:, None] + np.arange(self.tile_pixels[0])
        x = self.columns.first[j][:, None] + np.arange(self.tile_pixels[1])
        return np.asarray(y[:, :, None] * self.size[1] + x[:, None, :])

    def chunks(self, tiles: NDArray[np.int32]) -> Iterator[slice]:
        """Parts of a list of tiles that have a bounded number of pixels."""
        at_once = max(1, _VALUES_AT_ONCE // (self.tile_pixels[0] * self.tile_pixels[1]))
        for start in range(0, len(tiles), at_once):
            yield slice(start, min(start + at_once, len(tiles)))
