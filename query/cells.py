"""Cells: the pixels of a photo that lie under the same masks, and what those say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foundation.masks import Rle, rle_edges

Overlap = Literal["vote", "best"]


@dataclass(frozen=True)
class Cells:
    """A photo cut along the edges of all its masks.

    Attributes:
        of_pixel: (H, W) int, the cell of each pixel.
        members: (n, r) bool, which masks lie over each cell; none over a cell that is uncovered.
    """

    of_pixel: NDArray[np.intp]
    members: NDArray[np.bool_]

    @property
    def uncovered(self) -> NDArray[np.bool_]:
        """(H, W) bool, the pixels under no mask."""
        return np.asarray(~self.members.any(axis=1))[self.of_pixel]


def find_cells(size: tuple[int, int], masks: Sequence[Rle]) -> Cells:
    """Find the cells of a photo of `size` (H, W), without decoding a mask.

    Every mask has a random 64-bit word, and a pixel's words combined by exclusive or tell which
    masks lie over it (Zobrist hashing): two sets of masks share a signature by chance with a
    probability of 2^-64. Along the pixels the signature changes at the masks' edges alone.
    """
    height, width = size
    words = np.random.default_rng(0).integers(1, 2**64, size=len(masks), dtype=np.uint64)
    edges = [rle_edges(mask) for mask in masks]
    changes = np.zeros(height * width + 1, np.uint64)
    for word, own in zip(words, edges, strict=True):
        np.bitwise_xor.at(changes, own, word)  # not [own] ^=: an empty run gives an edge twice
    signature = np.bitwise_xor.accumulate(changes[:-1])
    _, first, cell = np.unique(signature, return_index=True, return_inverse=True)
    members = np.zeros((len(first), len(masks)), bool)
    for column, own in enumerate(edges):
        members[:, column] = np.searchsorted(own, first, side="right") % 2 == 1
    return Cells(cell.reshape(width, height).T, members)


def combine(
    members: NDArray[np.bool_],
    ballots: NDArray[np.float32],
    areas: NDArray[np.int64],
    overlap: Overlap,
) -> NDArray[np.float32]:
    """What the masks over each cell say together [ours].

    - "vote": the mean of their ballots, each with the weight 1 / area: a small mask says more
      about the pixels under it than one that holds half of the photo, and no mask decides alone.
    - "best": the ballot of one mask, that with the highest score; of equal scores the smaller
      mask, of equally small ones the earlier. A mask that is none of the categories gives way to
      every other.

    Args:
        members: (n, r) bool, see `Cells`.
        ballots: (r, C + 1), see `query.naming.Naming.ballots`; the last column is "none of these".
        areas: (r,) pixels of each mask, above 0.
        overlap: which of the two.

    Returns:
        (n, C + 1) float32; 0 for a cell under no mask.
    """
    if overlap == "vote":
        weights = members / areas.astype(np.float64)
        total = weights.sum(axis=1, keepdims=True)
        weights /= np.where(total > 0, total, 1)
        return np.asarray(weights @ ballots, np.float32)
    if members.shape[1] == 0:
        return np.zeros((len(members), ballots.shape[1]), np.float32)
    score = ballots[:, :-1].max(axis=1)
    last_first = -np.arange(len(areas))
    order = np.lexsort((last_first, -areas, score, ballots[:, -1] == 0))
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(1, len(order) + 1)
    held = np.where(members, rank, 0)
    winner = held.argmax(axis=1)
    return np.where(members.any(axis=1, keepdims=True), ballots[winner], np.float32(0))
