"""What several masks over a pixel say together."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Overlap = Literal["vote", "best"]


def combine(
    members: NDArray[np.bool_],
    votes: NDArray[np.float32],
    areas: NDArray[np.int64],
    overlap: Overlap,
) -> NDArray[np.float32]:
    """What the masks over each part of a photo say together [ours].

    - "vote": the mean of their ballots, each with the weight 1 / area: a small mask says more
      about the pixels under it than one that holds half of the photo, and no mask decides alone.
    - "best": the ballot of one mask, that with the highest score; of equal scores the smaller
      mask, of equally small ones the earlier. A mask that is none of the categories gives way to
      every other.

    Args:
        members: (n, r) bool, see `query.partition.Partition`.
        ballots: (r, C + 1), see `query.classification.Naming.ballots`; the last column is "none of
            these".
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
