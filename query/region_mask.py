"""A region's mask: exact at the photo's size, held at the working size and along its edge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foundation.images.masks import Rle, encode_runs
from query.enlargement import Axis, Enlargement

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class RegionMask:
    """A mask of a photo (H, W), held in some hundred kilobytes however large the photo is.

    Two are equal if they have the same pixels; a mask is also equal to its run lengths.

    Attributes:
        enlargement: from the working size (h, w) to the photo's.
        whole: uint8 (ceil(h * w / 8),), a bit for each tile: whether it lies under the mask.
        edge_tiles: (t,) int32, ascending: those with pixels under the mask that are not whole.
        edge_pixels: uint8 (t, ceil(a * b / 8)), a bit for each pixel of those.
    """

    enlargement: Enlargement
    whole: NDArray[np.uint8]
    edge_tiles: NDArray[np.int32]
    edge_pixels: NDArray[np.uint8]

    @classmethod
    def of_logits(cls, logits: NDArray[np.float32], enlargement: Enlargement) -> RegionMask:
        """The pixels where logits (h, w), enlarged bilinearly, are above 0."""
        whole, cut = enlargement.corners(logits > 0)
        tiles = np.flatnonzero(cut).astype(np.int32)
        most = enlargement.tile_pixels[0] * enlargement.tile_pixels[1]
        pixels = enlargement.pixels_above(logits, tiles).reshape(len(tiles), most)
        filled = pixels.any(axis=1)
        return cls(
            enlargement, np.packbits(whole), tiles[filled], np.packbits(pixels[filled], axis=1)
        )

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_]) -> RegionMask:
        """A mask (H, W) at the photo's size."""
        size = (mask.shape[0], mask.shape[1])
        return cls(
            Enlargement.of(size, size),
            np.packbits(mask),
            np.zeros(0, np.int32),
            np.zeros((0, 1), np.uint8),
        )

    def whole_tiles(self) -> NDArray[np.bool_]:
        """(h, w) bool, the tiles that lie under the mask."""
        height, width = self.enlargement.working_size
        bits = np.unpackbits(self.whole, count=height * width)
        return bits.view(np.bool_).reshape(height, width)

    def edge_bits(self, part: slice | NDArray[np.bool_] = slice(None)) -> NDArray[np.bool_]:
        """(t, a, b) bool: the pixels under the mask of (some of) the tiles on its edge."""
        height, width = self.enlargement.tile_pixels
        bits = np.unpackbits(self.edge_pixels[part], axis=1, count=height * width)
        return bits.view(np.bool_).reshape(-1, height, width)

    def covers(self, tiles: NDArray[np.integer], places: NDArray[np.integer]) -> NDArray[np.bool_]:
        """(k,) bool: whether pixels lie under the mask, at places y * b + x of their tiles."""
        covered = _bits(self.whole, tiles)
        if self.edge_tiles.size:
            row = np.minimum(np.searchsorted(self.edge_tiles, tiles), len(self.edge_tiles) - 1)
            on_edge = self.edge_tiles[row] == tiles
            bits = self.edge_pixels.shape[1] * 8
            inside = _bits(self.edge_pixels.reshape(-1), row.astype(np.int64) * bits + places)
            covered = np.where(on_edge, inside, covered)
        return covered

    def tile_shares(self) -> NDArray[np.float32]:
        """(h, w) float32, the share of each tile's pixels that lie under the mask."""
        shares = self.whole_tiles().astype(np.float32)
        i, j = np.divmod(self.edge_tiles, shares.shape[1])
        pixels = self.enlargement.rows.counts[i] * self.enlargement.columns.counts[j]
        shares[i, j] = self._edge_counts() / pixels
        return shares

    @cached_property
    def area(self) -> int:
        """Pixels under the mask."""
        rows, columns = self.enlargement.rows.counts, self.enlargement.columns.counts
        # Sums of at most a row's pixels are exact in float32.
        of_rows = self.whole_tiles().astype(np.float32) @ columns.astype(np.float32)
        return int(of_rows.astype(np.int64) @ rows) + int(self._edge_counts().sum())

    @cached_property
    def box(self) -> Box:
        """(x, y, width, height) of the smallest box around the mask; zeros for an empty one."""
        tiles = self.whole_tiles()
        i, j = np.divmod(self.edge_tiles, tiles.shape[1])
        top, bottom = self._reach(self.enlargement.rows, _any(tiles, 1), i, 2)
        left, right = self._reach(self.enlargement.columns, _any(tiles, 0), j, 1)
        return left, top, right - left, bottom - top

    @cached_property
    def rle(self) -> Rle:
        """COCO run lengths at the photo's size; made when they are first asked for."""
        x, y, width, height = self.box
        rows, columns = self.enlargement.size
        lines = np.zeros((width, height + 2), np.bool_)  # columns, with what lies beyond their ends
        self._draw(lines[:, 1:-1])
        changes = np.flatnonzero(lines[:, 1:] != lines[:, :-1])
        column, row = np.divmod(changes, height + 1)
        edges = (x + column) * rows + y + row
        # A run that goes on from the foot of a column to the head of the next is one.
        goes_on = np.zeros(len(edges) + 1, np.bool_)
        goes_on[1:-1] = edges[1:] == edges[:-1]
        edges = edges[~(goes_on[1:] | goes_on[:-1])]
        return encode_runs((rows, columns), np.diff(edges, prepend=0, append=rows * columns))

    def cropped(self) -> NDArray[np.bool_]:
        """bool (height, width): the mask within its box."""
        lines = np.zeros((self.box[2], self.box[3]), np.bool_)
        self._draw(lines)
        return lines.T

    def decoded(self) -> NDArray[np.bool_]:
        """bool (H, W), the mask at the photo's size."""
        x, y, width, height = self.box
        mask = np.zeros(self.enlargement.size, np.bool_)
        mask[y : y + height, x : x + width] = self.cropped()
        return mask

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RegionMask):
            return self.rle == other.rle
        return self.rle == other if isinstance(other, Rle) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.rle)

    def _draw(self, lines: NDArray[np.bool_]) -> None:
        """Sets what lies under the mask in (width, height), the box column by column."""
        x, y, width, height = self.box
        rows, columns = self.enlargement.rows, self.enlargement.columns
        tiles = self.whole_tiles().T[:, rows.interval_of[y : y + height]]
        lines[:] = tiles[columns.interval_of[x : x + width]]
        for part in self.enlargement.chunks(self.edge_tiles):
            i, j = np.divmod(self.edge_tiles[part], self.enlargement.working_size[1])
            tile, down, across = np.nonzero(self.edge_bits(part))
            lines[columns.first[j][tile] + across - x, rows.first[i][tile] + down - y] = True

    def _edge_counts(self) -> NDArray[np.int64]:
        return np.asarray(np.bitwise_count(self.edge_pixels).sum(axis=1, dtype=np.int64))

    def _reach(
        self, axis: Axis, whole: NDArray[np.bool_], edge: NDArray[np.int32], across: int
    ) -> tuple[int, int]:
        """First pixel along an axis, and the one after the last; 0, 0 for an empty mask.

        Args:
            axis: rows or columns.
            whole: (l,) intervals with a tile that is whole.
            edge: (t,) the intervals of the tiles on the edge.
            across: which axis of `edge_bits` is the other one.
        """
        ends = []
        of_whole = np.flatnonzero(whole)
        if of_whole.size:
            ends.append((axis.first[of_whole[0]], axis.first[of_whole[-1] + 1]))
        if edge.size:
            first, last = edge.min(), edge.max()
            low = np.flatnonzero(self.edge_bits(edge == first).any(axis=(0, across)))[0]
            high = np.flatnonzero(self.edge_bits(edge == last).any(axis=(0, across)))[-1]
            ends.append((axis.first[first] + low, axis.first[last] + high + 1))
        if not ends:
            return 0, 0
        return int(min(start for start, _ in ends)), int(max(end for _, end in ends))


def _any(tiles: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    return np.asarray(tiles.any(axis=axis))


def _bits(packed: NDArray[np.uint8], numbers: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Single bits of what `np.packbits` has packed."""
    bytes_ = packed[numbers >> 3]
    return np.asarray(bytes_ >> (7 - (numbers & 7)).astype(np.uint8) & 1 == 1)
