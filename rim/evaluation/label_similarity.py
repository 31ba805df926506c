"""How alike two vocabularies are, by the text embeddings of their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import UsageError

DEFINITION = (
    "h(A->B) is the smallest, over the categories of A, of the cosine to the most similar category "
    "of B; the mean is over the same cosines; the Hausdorff similarity is the smaller of h(A->B) "
    "and h(B->A)"
)


@dataclass(frozen=True)
class BestMatch:
    """A category, the most similar one of the other vocabulary, and their cosine."""

    category: str
    match: str
    similarity: float


@dataclass(frozen=True)
class Direction:
    """From one vocabulary to the other.

    hausdorff: the worst category's best match, in [-1, 1]. mean: of the categories' best matches.
    matches: every category's best match, the worst first, equally bad ones in the vocabulary's
    order.
    """

    hausdorff: float
    mean: float
    matches: tuple[BestMatch, ...]


@dataclass(frozen=True)
class LabelSimilarity:
    """Both directions between the vocabularies A and B; see `label_similarity`."""

    a_to_b: Direction
    b_to_a: Direction

    @property
    def hausdorff(self) -> float:
        """The smaller of both directions: the symmetric Hausdorff similarity."""
        return min(self.a_to_b.hausdorff, self.b_to_a.hausdorff)


def label_similarity(
    names_a: Sequence[str],
    embeddings_a: NDArray[np.float32],
    names_b: Sequence[str],
    embeddings_b: NDArray[np.float32],
) -> LabelSimilarity:
    """Compare two vocabularies by the cosines between the embeddings of their names.

    h(A->B) = min over a in A of max over b in B of cos(a, b): how well the category of A fares that
    fares worst. It is the directed Hausdorff distance with cosine similarity in place of a
    distance, so 1 is best: of unit vectors, |a - b|^2 = 2 - 2 cos(a, b), and the same category
    decides both. The mean over A in place of the minimum says how most categories fare. The
    symmetric Hausdorff similarity is min(h(A->B), h(B->A)).

    The paper's Table 2 gives one number for two vocabularies, by "Hausdorff Distance and cosine
    similarity" of text embeddings by CLIP ViT-L/14 [paper], and leaves open which direction and
    which prompt it is for; both directions, minimum and mean are [ours].

    Args:
        names_a, names_b: the categories' names.
        embeddings_a, embeddings_b: float32 (n, d), one row a name, L2-normalised.

    Raises:
        UsageError: a vocabulary without categories.
        ValueError: as many rows as names are not there, or of another length, or not normalised.
    """
    if not names_a or not names_b:
        raise UsageError("expected two vocabularies with at least one category each, found none")
    for names, embeddings in ((names_a, embeddings_a), (names_b, embeddings_b)):
        if embeddings.shape != (len(names), embeddings_a.shape[1]):
            raise ValueError(f"expected ({len(names)}, d) embeddings, found {embeddings.shape}")
        if not np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-3):
            raise ValueError("expected L2-normalised embeddings, found others")
    cosine = np.clip(embeddings_a.astype(np.float64) @ embeddings_b.astype(np.float64).T, -1, 1)
    return LabelSimilarity(
        _direction(names_a, names_b, cosine), _direction(names_b, names_a, cosine.T)
    )


def _direction(
    names: Sequence[str], others: Sequence[str], cosine: NDArray[np.float64]
) -> Direction:
    """Of cosines (n, m) between `names` and `others`."""
    best = cosine.max(axis=1)
    nearest = cosine.argmax(axis=1)
    matches = tuple(
        BestMatch(names[row], others[nearest[row]], float(best[row]))
        for row in np.argsort(best, kind="stable")
    )
    return Direction(float(best.min()), float(best.mean()), matches)
