"""From classified regions and patches to one label per pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter

from query.enlargement import Axis, Enlargement
from schemas.ids import UNLABELLED

Overlap = Literal["vote", "best"]

UNCOVERED = UNLABELLED - 1
"""Stands in a label map for pixels under no mask until they are labelled."""

_VALUES_AT_ONCE = 1 << 22  # of votes: 16 MB
_COLUMNS_AT_ONCE = 128
_ROUNDING = np.float32(1 - 1e-6)  # an interpolated value may leave its range by a rounding error


def combine(
    members: NDArray[np.bool_],
    votes: NDArray[np.float32],
    areas: NDArray[np.int64],
    overlap: Overlap,
) -> NDArray[np.float32]:
    """Combines the votes of the masks over each part of a photo [ours].

    - "vote": the mean of their votes, each with the weight 1 / area: a small mask says more
      about the pixels under it than one that holds half of the photo, and no mask decides alone.
    - "best": the votes of one mask, that with the highest score; of equal scores the smaller
      mask, of equally small ones the earlier. A mask that is none of the categories gives way to
      every other.

    Args:
        members: (n, r) bool, see `query.partition.Partition`.
        votes: (r, C + 1), see `query.classification.Classification.votes`; the last column is "none
            of these".
        areas: (r,) pixels of each mask, above 0.
        overlap: which of the two.

    Returns:
        (n, C + 1) float32; 0 for a part under no mask.
    """
    if overlap == "vote":
        weights = members / areas.astype(np.float64)
        total = weights.sum(axis=1, keepdims=True)
        weights /= np.where(total > 0, total, 1)
        return np.asarray(weights @ votes, np.float32)
    if members.shape[1] == 0:
        return np.zeros((len(members), votes.shape[1]), np.float32)
    score = votes[:, :-1].max(axis=1)
    last_first = -np.arange(len(areas))
    order = np.lexsort((last_first, -areas, score, votes[:, -1] == 0))
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(1, len(order) + 1)
    held = np.where(members, rank, 0)
    winner = held.argmax(axis=1)
    return np.where(members.any(axis=1, keepdims=True), votes[winner], np.float32(0))


def winning_categories(
    votes: NDArray[np.float32], category_ids: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The category_id with most votes in each row.

    Args:
        votes: (n, C + 1), the last column "none of these"; of equal votes the lower category_id.
        category_ids: (C,) of the other columns.

    Returns:
        (n,) int32; UNLABELLED where "none of these" wins, or where there is no vote.
    """
    ids = np.append(category_ids, np.int32(UNLABELLED))
    return np.where((votes > 0).any(axis=1), ids[votes.argmax(axis=1)], np.int32(UNLABELLED))


def label_parts(
    members: NDArray[np.bool_],
    votes: NDArray[np.float32],
    areas: NDArray[np.int64],
    overlap: Overlap,
    category_ids: NDArray[np.int32],
) -> NDArray[np.int32]:
    """(n,) int32 category_id of each part of a photo; UNLABELLED under no mask.

    Args:
        members, votes, areas, overlap: see `combine`.
        category_ids: (C,).
    """
    labels = np.empty(len(members), np.int32)
    at_once = max(1, _VALUES_AT_ONCE // votes.shape[1])
    for start in range(0, len(members), at_once):
        some = slice(start, start + at_once)
        labels[some] = winning_categories(
            combine(members[some], votes, areas, overlap), category_ids
        )
    return labels


def patch_positions(length: int, patches: int) -> NDArray[np.float64]:
    """(length,) where the centre of each pixel lies among patch centres, along one axis.

    In patches, 0 at the centre of the first; pixels beyond the outer centres count as on them.
    """
    centres = (np.arange(length) + 0.5) * patches / length - 0.5
    return np.clip(centres, 0, patches - 1)


def patches_needed(
    uncovered: NDArray[np.bool_], enlargement: Enlargement, grid: tuple[int, int]
) -> NDArray[np.bool_]:
    """(gh, gw) bool: the patches between whose centres pixels lie that are under no mask.

    Args:
        uncovered: (h, w) bool, the tiles with such pixels; all of their pixels are counted.
        enlargement: from (h, w) to the photo's size.
        grid: (gh, gw).
    """
    rows = _patches_of(enlargement.rows, grid[0])
    columns = _patches_of(enlargement.columns, grid[1])
    needed = rows.T @ uncovered.astype(np.float32) @ columns > 0
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


def fill_uncovered(
    labels: NDArray[np.int32],
    patch_votes: NDArray[np.float32],
    category_ids: NDArray[np.int32],
) -> None:
    """Labels the pixels under no mask by votes interpolated between patches [ours].

    The interpolation is bilinear, between the centres of the four patches around a pixel.

    Between the centres of four patches only few categories can win: not one whose votes are all
    below the fewest of another. Interpolation never leaves the range of the four.

    Args:
        labels: (H, W) int32, UNCOVERED where a pixel is to be labelled; written into.
        patch_votes: (gh, gw, C + 1) float32; needed where `patches_needed` says so.
        category_ids: (C,).
    """
    grid = (patch_votes.shape[0], patch_votes.shape[1])
    ids = np.append(category_ids, np.int32(UNLABELLED))
    rows, columns = (
        _Between.of(length, patches) for length, patches in zip(labels.shape, grid, strict=True)
    )
    for row in range(grid[0]):
        strip = labels[rows.first[row] : rows.first[row + 1]]
        wanted = strip == UNCOVERED
        around = patch_votes[[row, min(row + 1, grid[0] - 1)]]
        down = rows.fraction[rows.first[row] : rows.first[row + 1], None]
        for left, right in columns.blocks(wanted.any(axis=0)):
            block = slice(columns.first[left], columns.first[right])
            winner = _winners_between(around, left, right, columns, down)
            np.copyto(strip[:, block], ids[winner], where=wanted[:, block])


def count_labels(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The ids in a label map (H, W), ascending and UNLABELLED first, and how many pixels have each.

    Without the sorted copy of the map that `np.unique` makes.
    """
    lowest = int(labels.min())
    counts = np.zeros(int(labels.max()) - lowest + 1, np.int64)
    for strip in np.array_split(labels, -(-labels.size // _VALUES_AT_ONCE)):
        counts += np.bincount((strip - lowest).reshape(-1), minlength=len(counts))
    found = np.flatnonzero(counts)
    return (found + lowest).astype(np.int32), counts[found]


def _patches_of(axis: Axis, patches: int) -> NDArray[np.float32]:
    """(l, g) 1 where pixels of an interval lie after the centre of a patch and before the next."""
    found = np.zeros((len(axis.counts), patches), np.float32)
    positions = patch_positions(len(axis.interval_of), patches)
    found[axis.interval_of, np.floor(positions).astype(np.intp)] = 1
    return found


@dataclass(frozen=True)
class _Between:
    """Pixels between the centres of patches, along one axis.

    first: (g + 1,), the first pixel after each centre. fraction: (length,) float32, how far each
    pixel lies on the way to the next centre.
    """

    first: NDArray[np.intp]
    fraction: NDArray[np.float32]

    @classmethod
    def of(cls, length: int, patches: int) -> _Between:
        positions = patch_positions(length, patches)
        after = np.floor(positions).astype(np.intp)
        first = np.searchsorted(after, np.arange(patches + 1))
        return cls(first, (positions - after).astype(np.float32))

    def blocks(self, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        """From which patch to which, of the pixels (length,) that are wanted: not too few at once.

        Blocks of fewer pixels cost more for starting than for working on them.
        """
        starts = self.first[:-1]
        filled = starts < self.first[1:]
        any_wanted = np.zeros(len(starts), np.bool_)
        any_wanted[filled] = np.logical_or.reduceat(wanted, starts[filled])
        todo = np.flatnonzero(any_wanted)
        while todo.size:
            left = int(todo[0])
            enough = np.searchsorted(self.first, self.first[left] + _COLUMNS_AT_ONCE)
            right = max(left + 1, min(int(enough), len(starts)))
            yield left, right
            todo = todo[todo >= right]


def _winners_between(
    around: NDArray[np.float32],
    left: int,
    right: int,
    columns: _Between,
    down: NDArray[np.float32],
) -> NDArray[np.intp]:
    """(rows, pixels) the columns of the votes that win between two rows of patches.

    Args:
        around: (2, gw, C + 1) votes of the two rows.
        left, right: the first patch, and the one after the last, whose pixels are asked for.
        columns: pixels between patches along the rows.
        down: (rows, 1) float32, how far each row of pixels lies on the way to the second.
    """
    patches = np.arange(left, right)
    following = np.minimum(patches + 1, around.shape[1] - 1)
    corners = np.stack([around[:, patches], around[:, following]])
    most, fewest = corners.max(axis=(0, 1)), corners.min(axis=(0, 1)).max(axis=1, keepdims=True)
    candidates = np.flatnonzero(((most > 0) & (most >= fewest * _ROUNDING)).any(axis=0))
    of_pixel = np.repeat(patches, np.diff(columns.first[left : right + 1]))
    next_to = np.minimum(of_pixel + 1, around.shape[1] - 1)
    across = columns.fraction[columns.first[left] : columns.first[right]]
    none_of_these = around.shape[2] - 1
    winner = np.full((len(down), len(of_pixel)), none_of_these, np.intp)
    best = np.zeros(winner.shape, np.float32)
    for candidate in candidates:
        votes = around[:, :, candidate]
        upper, lower = (1 - across) * votes[:, of_pixel] + across * votes[:, next_to]
        value = (1 - down) * upper + down * lower
        better = value > best
        np.copyto(best, value, where=better)
        np.copyto(winner, candidate, where=better)
    return winner
