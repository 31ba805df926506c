"""Matching by ranking distributions: categories whose references rank the classes as a region."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from query.matchers.base import Matches, References
from query.matchers.prototype import nearest_of, prototypes_of
from schemas.store.prototypes import Prototypes

Float64Array = NDArray[np.float64]

MAX_AGENTS = 6
"""720 orders; a seventh agent would make them 5,040."""

_SPREAD_FLOOR = 1e-6  # float32 cosines are not more exact: below it all similarities are equal
_VALUES_AT_ONCE = 1 << 22  # probabilities of one category's references: 32 MB


@dataclass(frozen=True)
class RankingMatcher:
    """Scores categories by comparing how a region and their references rank the classes.

    Matching compares ranking distributions, so that the structure among classes counts and not
    one similarity alone [paper]; the formula is ours:

    1. The region's agents are the m categories whose means (`prototypes_of`) are most similar to
       it; ties go to the lower category_id. m = min(agents, number of categories).
    2. Its cosines s_1..s_m to the agents give a Plackett-Luce distribution over all m! orders:
       P(pi | x) = prod_i exp(s_pi(i) / tau) / sum_{j >= i} exp(s_pi(j) / tau).
    3. Each agent has the same distribution over the same agents, averaged over its references
       with their weights. A reference is left out of its own category's mean; a category's only
       one has nothing to leave out, and its cosine to its own mean is 1.
    4. The score of an agent is 1 - JSD / ln 2, JSD the Jensen-Shannon divergence (natural
       logarithm) of its distribution and the region's: 1 if they are the same. Other categories
       score 0.

    With `standardise` the m similarities of a region or reference are first z-scored (less their
    mean, by their standard deviation; all equal: 0), so that distributions differ by order and
    relative distance alone, not by how sharp they are: regions are noisier than references [ours].

    The neighbours shown for a region are the most similar references of the best agent.

    Attributes:
        references: the features that are compared with.
        agents: m, at most MAX_AGENTS.
        temperature: tau, above 0, in units of what it divides: 0.05 to 0.1 suits cosines, about 1
            suits z-scores.
        standardise: see above.
        neighbours: how many references to show for a region.
        stored: the bank's own prototypes, used if they are of these very references.
    """

    references: References
    agents: int = 5
    temperature: float = 1.0
    standardise: bool = True
    neighbours: int = 5
    stored: Prototypes | None = None

    @cached_property
    def means(self) -> NDArray[np.float32]:
        """(C, d) L2-normalised means of the references' categories."""
        return np.concatenate(prototypes_of(self.references, 1, self.stored))

    def match(
        self, features: NDArray[np.float32], categories: Collection[int] | None = None
    ) -> Matches:
        """See `Matcher.match`."""
        references = self.references.restricted_to(categories)
        columns = np.searchsorted(self.references.category_ids, references.category_ids)
        cosine = features @ self.means[columns].T
        m = min(self.agents, len(columns))
        agents = np.argsort(-cosine, axis=1, kind="stable")[:, :m]
        scores = np.zeros_like(cosine)
        most = int((self.references.stops - self.references.starts).max())
        at_once = max(1, _VALUES_AT_ONCE // (most * _orders(m).shape[1]))
        for start in range(0, len(features), at_once):
            part = slice(start, start + at_once)
            near = np.take_along_axis(cosine[part], agents[part], axis=1)
            regions = self._distributions(near)
            candidates = self._candidates(columns[agents[part]])
            score = 1 - _jensen_shannon(regions[:, None], candidates) / np.log(2)
            np.put_along_axis(scores[part], agents[part], np.clip(score, 0, 1), axis=1)
        best = np.lexsort((-cosine, -scores), axis=1)[:, 0]
        neighbour_id, neighbour_similarity = nearest_of(references, features, best, self.neighbours)
        return Matches(
            category_ids=references.category_ids,
            scores=scores,
            neighbour_id=neighbour_id,
            neighbour_similarity=neighbour_similarity,
        )

    def _candidates(self, agents: NDArray[np.intp]) -> Float64Array:
        """(r, m, m!) distribution of each agent (r, m; columns of `means`) over its region's."""
        regions, m = agents.shape
        averaged = np.empty((regions, m, _orders(m).shape[1]))
        candidates, owner = np.unique(agents, return_inverse=True)
        owner = owner.reshape(agents.shape)
        for position, column in enumerate(candidates):
            region, place = np.nonzero(owner == position)
            # Every other agent that this category meets, once, however many regions it is near.
            met, where = np.unique(agents[region], return_inverse=True)
            rows = self.references.rows_of(int(column))
            near = self.references.embeddings[rows] @ self.means[met].T
            near[:, np.searchsorted(met, column)] = self._own_similarity[rows]
            vectors = near[:, where.reshape(len(region), m)]
            averaged[region, place] = np.tensordot(
                _shares(self.references.weight[rows]), self._distributions(vectors), axes=1
            )
        return averaged

    @cached_property
    def _own_similarity(self) -> NDArray[np.float32]:
        """(n,) cosine of each reference to the mean of the others of its category."""
        own = np.empty(len(self.references.feature_id), np.float32)
        for column in range(len(self.references.category_ids)):
            rows = self.references.rows_of(column)
            embeddings = self.references.embeddings[rows].astype(np.float64)
            weighted = embeddings * self.references.weight[rows, None]
            others = weighted.sum(axis=0) - weighted if len(embeddings) > 1 else embeddings
            length = np.linalg.norm(others, axis=1)
            product = np.einsum("kd,kd->k", embeddings, others)
            own[rows] = product / np.maximum(length, np.finfo(np.float64).tiny)
        return own

    def _distributions(self, similarities: NDArray[np.float32]) -> Float64Array:
        """Plackett-Luce distributions (..., m!) of similarities (..., m)."""
        strengths = similarities.astype(np.float64)
        if self.standardise:
            strengths -= strengths.mean(axis=-1, keepdims=True)
            spread = strengths.std(axis=-1, keepdims=True)
            strengths = np.where(spread < _SPREAD_FLOOR, 0, strengths / np.maximum(spread, 1e-30))
        strengths /= self.temperature
        return plackett_luce(strengths)


def plackett_luce(strengths: Float64Array) -> Float64Array:
    """Computes the probability of every order of m items drawn one by one without replacement.

    P(pi) = prod_i exp(s_pi(i)) / sum_{j >= i} exp(s_pi(j)). What an order divides by are sums
    over the items that are left, of which there are only 2^m - 1, shared by all m! orders: they
    are made once, stably, and a product with `_orders` picks them.

    Args:
        strengths: s, (..., m) float64.

    Returns:
        (..., m!) float64, the orders as `itertools.permutations(range(m))` has them; sums to 1.
    """
    m = strengths.shape[-1]
    log_sums = np.empty((*strengths.shape[:-1], 1 << m))
    log_sums[..., 0] = 0  # nothing left: picked by no order
    for left in range(1, 1 << m):
        item = left.bit_length() - 1
        rest = left - (1 << item)
        alone = strengths[..., item]
        log_sums[..., left] = np.logaddexp(log_sums[..., rest], alone) if rest else alone
    log_p = strengths.sum(axis=-1, keepdims=True) - log_sums @ _orders(m)
    probabilities: Float64Array = np.exp(log_p, out=log_p)
    return probabilities


@lru_cache
def _orders(m: int) -> Float64Array:
    """(2^m, m!): 1 where an order, item by item, is left with that set of items (bits), else 0."""
    orders = list(permutations(range(m)))
    picks = np.zeros((1 << m, len(orders)))
    for column, order in enumerate(orders):
        left = (1 << m) - 1
        for item in order:
            picks[left, column] = 1
            left -= 1 << item
    return picks


def _jensen_shannon(p: Float64Array, q: Float64Array) -> Float64Array:
    """(...) Jensen-Shannon divergence in nats of distributions (..., n), from 0 to ln 2."""
    mean = (p + q) / 2
    divergence: Float64Array = (rel_entr(p, mean) + rel_entr(q, mean)).sum(axis=-1) / 2
    return divergence


def _shares(weight: NDArray[np.float32]) -> Float64Array:
    """Weights as fractions of their sum."""
    shares: Float64Array = weight.astype(np.float64) / weight.sum(dtype=np.float64)
    return shares
