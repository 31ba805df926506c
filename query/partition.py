"""The partition of a photo into parts: pixels under the same masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from query.enlargement import Enlargement
from query.region_mask import RegionMask


@dataclass(frozen=True, eq=False)
class Partition:
    """A photo divided along the edges of all its masks into parts: pixels under the same masks.

    Exact at the photo's size, but held at the working size: only pixels of tiles that an edge goes
    through are held one by one.

    Attributes:
        enlargement: from the working size (h, w) to the photo's (H, W).
        of_tile: (h, w) int32, the part of each tile; without meaning where an edge goes through.
        edge_tiles: (t,) int32, ascending: the tiles that edges go through.
        edge_parts: int32, the part of each pixel in those, tile by tile, row by row.
        members: (n, r) bool, which masks lie over each part; none over a part that is uncovered.
    """

    enlargement: Enlargement
    of_tile: NDArray[np.int32]
    edge_tiles: NDArray[np.int32]
    edge_parts: NDArray[np.int32]
    members: NDArray[np.bool_]

    @property
    def uncovered(self) -> NDArray[np.bool_]:
        """(n,) bool, the parts under no mask: at most one."""
        return np.asarray(~self.members.any(axis=1))

    def uncovered_tiles(self) -> NDArray[np.bool_]:
        """(h, w) bool, the tiles with pixels under no mask."""
        tiles = self.uncovered[self.of_tile]
        if self.edge_tiles.size:
            pixels = self.uncovered[self.edge_parts]
            on_edge = np.logical_or.reduceat(pixels, self._edge_starts[:-1])
            tiles.reshape(-1)[self.edge_tiles] = on_edge
        return tiles

    def spread(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """(H, W) int32: every pixel takes the value (n,) of its part."""
        rows, columns = self.enlargement.rows, self.enlargement.columns
        of_tile = values[self.of_tile]
        if not self.enlargement.enlarges:
            return of_tile
        spread = np.empty(self.enlargement.size, np.int32)
        for tiles, top, bottom in zip(of_tile, rows.first[:-1], rows.first[1:], strict=True):
            spread[top:bottom] = tiles[columns.interval_of]
        flat, start = spread.reshape(-1), 0
        for chunk in self.enlargement.chunks(self.edge_tiles):
            tiles = self.edge_tiles[chunk]
            pixels = self.enlargement.pixel_numbers(tiles)[self.enlargement.pixels_of(tiles)]
            flat[pixels] = values[self.edge_parts[start : start + len(pixels)]]
            start += len(pixels)
        return spread

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.int32]:
        """(len(rows), len(columns)) int32, the parts of the pixels where these cross."""
        across, down = self.enlargement.columns, self.enlargement.rows
        i, j = down.interval_of[rows], across.interval_of[columns]
        parts = self.of_tile[i[:, None], j]
        place = np.full(self.of_tile.size, -1, np.int32)
        place[self.edge_tiles] = np.arange(len(self.edge_tiles))
        place = place.reshape(self.of_tile.shape)[i[:, None], j]
        y, x = np.nonzero(place >= 0)
        tile = place[y, x]
        widths = across.counts[j][x]
        inside = (rows - down.first[i])[y] * widths + (columns - across.first[j])[x]
        parts[y, x] = self.edge_parts[self._edge_starts[tile] + inside]
        return parts

    @cached_property
    def _edge_starts(self) -> NDArray[np.int64]:
        """(t + 1,) where each tile begins in `edge_parts`, and the end."""
        i, j = np.divmod(self.edge_tiles, self.of_tile.shape[1])
        pixels = self.enlargement.rows.counts[i] * self.enlargement.columns.counts[j]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(pixels)])


def find_partition(enlargement: Enlargement, masks: Sequence[RegionMask]) -> Partition:
    """Finds the parts of a photo.

    Every mask has a random 64-bit word, and a pixel's words combined by exclusive or tell which
    masks lie over it (Zobrist hashing): two sets of masks share a signature by chance with a
    probability of 2^-64.

    Args:
        enlargement: of the photo.
        masks: of the photo, all with this enlargement.
    """
    words = np.random.default_rng(0).integers(1, 2**64, size=len(masks), dtype=np.uint64)
    height, width = enlargement.working_size
    of_tile = _tile_signatures(height * width, masks, words)
    on_edge = np.zeros(height * width, np.bool_)
    for mask in masks:
        on_edge[mask.edge_tiles] = True
    edge_tiles = np.flatnonzero(on_edge).astype(np.int32)
    parts = _Parts(masks)
    numbers = np.zeros(height * width, np.int32)
    plain = np.flatnonzero(~on_edge)
    numbers[plain] = parts.number(of_tile[plain], plain, np.zeros_like(plain))
    edge_parts = [
        _edge_parts(enlargement, masks, words, of_tile, edge_tiles[chunk], parts)
        for chunk in enlargement.chunks(edge_tiles)
    ]
    return Partition(
        enlargement,
        numbers.reshape(height, width),
        edge_tiles,
        np.concatenate([np.zeros(0, np.int32), *edge_parts]),
        parts.members(),
    )


class _Parts:
    """Numbers signatures in the order of their appearance, with the masks over each."""

    def __init__(self, masks: Sequence[RegionMask]) -> None:
        self._masks = masks
        self._numbers: dict[int, int] = {}
        self._members: list[NDArray[np.bool_]] = []

    def number(
        self,
        signatures: NDArray[np.uint64],
        tiles: NDArray[np.integer],
        places: NDArray[np.integer],
    ) -> NDArray[np.int32]:
        """(k,) int32, the parts of some pixels.

        Args:
            signatures: (k,).
            tiles: (k,) the tile of each.
            places: (k,) where in the tile it lies, y * b + x.
        """
        if signatures.size == 0:
            return np.zeros(0, np.int32)
        # Neighbours mostly lie under the same masks: far less is sorted than there are pixels.
        starts = np.flatnonzero(np.diff(signatures, prepend=~signatures[:1]))
        unique, first, of_run = np.unique(
            signatures[starts], return_index=True, return_inverse=True
        )
        new = np.array([one not in self._numbers for one in unique.tolist()])
        at = starts[first[new]]
        over = [mask.covers(tiles[at], places[at]) for mask in self._masks]
        self._members.append(np.array(over, np.bool_).reshape(len(over), len(at)).T)
        for one in unique[new].tolist():
            self._numbers[one] = len(self._numbers)
        numbers = np.array([self._numbers[one] for one in unique.tolist()], np.int32)
        return np.repeat(numbers[of_run], np.diff(starts, append=len(signatures)))

    def members(self) -> NDArray[np.bool_]:
        """(n, r) bool."""
        return np.concatenate([np.zeros((0, len(self._masks)), np.bool_), *self._members])


def _tile_signatures(
    tiles: int, masks: Sequence[RegionMask], words: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """(tiles,) of the masks that tiles lie wholly under, eight masks at a time."""
    signatures = np.zeros(tiles, np.uint64)
    for start in range(0, len(masks), 8):
        codes = np.zeros(tiles, np.uint8)
        combined = np.zeros(256, np.uint64)
        for bit, mask in enumerate(masks[start : start + 8]):
            codes |= mask.whole_tiles().reshape(-1).view(np.uint8) << np.uint8(bit)
            combined[np.arange(256) >> bit & 1 == 1] ^= words[start + bit]
        signatures ^= combined[codes]
    return signatures


def _edge_parts(
    enlargement: Enlargement,
    masks: Sequence[RegionMask],
    words: NDArray[np.uint64],
    of_tile: NDArray[np.uint64],
    tiles: NDArray[np.int32],
    parts: _Parts,
) -> NDArray[np.int32]:
    """The parts of the pixels of some tiles that edges go through, tile by tile, row by row."""
    height, width = enlargement.tile_pixels
    signatures = np.repeat(of_tile[tiles], height * width).reshape(len(tiles), -1)
    for mask, word in zip(masks, words, strict=True):
        own = slice(*np.searchsorted(mask.edge_tiles, (tiles[0], tiles[-1] + 1)))
        bits = mask.edge_bits(own).reshape(-1, height * width)
        signatures[np.searchsorted(tiles, mask.edge_tiles[own])] ^= np.where(bits, word, 0)
    pixels = np.flatnonzero(enlargement.pixels_of(tiles))
    tile, place = np.divmod(pixels, height * width)
    return parts.number(signatures.reshape(-1)[pixels], tiles[tile], place)
