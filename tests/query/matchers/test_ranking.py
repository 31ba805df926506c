"""The ranking matcher: the formula, term by term, and what it does where others cannot tell."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from query.matchers.base import NO_FEATURE, References
from query.matchers.ranking import RankingMatcher, plackett_luce
from schemas.errors import BankError
from schemas.ids import FOREGROUND, pack_feature_id, pack_image_id
from schemas.store.bank import BankFeatures
from schemas.store.prototypes import derive_prototypes

Floats = NDArray[np.float32]


def unit(vectors: NDArray[np.float64]) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def bank(
    references: dict[int, Floats], sources: dict[int, list[str]] | None = None
) -> BankFeatures:
    """Foreground features (K, d) by category_id; all generated unless their sources are said."""
    image_ids = [
        pack_image_id(category_id, (sources or {}).get(category_id, ["diffusion"] * len(own))[k], k)
        for category_id, own in sorted(references.items())
        for k in range(len(own))
    ]
    ordered = sorted(references)
    return BankFeatures(
        embeddings=np.concatenate([references[category_id] for category_id in ordered]),
        feature_id=np.array([pack_feature_id(i, FOREGROUND) for i in image_ids], np.int64),
        image_id=np.array(image_ids, np.int64),
        category_id=np.repeat(ordered, [len(references[i]) for i in ordered]).astype(np.int32),
        role=np.zeros(len(image_ids), np.int8),
    )


def random_bank(seed: int, sizes: list[int], dimension: int = 6) -> dict[int, Floats]:
    """References scattered around one direction a category; ids have gaps."""
    rng = np.random.default_rng(seed)
    return {
        3 * c + 1: unit(rng.normal(size=dimension) + 0.5 * rng.normal(size=(size, dimension)))
        for c, size in enumerate(sizes)
    }


# --- the formula, written down once more with plain loops -----------------------------------------


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths > 0 else 0.0


def order_probabilities(similarities: list[float], tau: float, standardise: bool) -> list[float]:
    s = np.array(similarities)
    if standardise:
        s = s - s.mean()
        s = s / np.std(s) if np.std(s) > 1e-6 else 0 * s
    probabilities = []
    for order in permutations(range(len(s))):
        p = 1.0
        for i in range(len(order)):
            left = sum(np.exp((s[j] - s[order[i]]) / tau) for j in order[i:])
            p *= 1 / left
        probabilities.append(p)
    return probabilities


def brute_force(
    region: Floats,
    references: dict[int, Floats],
    weights: dict[int, list[float]],
    m: int,
    tau: float,
    standardise: bool,
) -> dict[int, float]:
    """Scores by category_id, agents only."""
    exact = {c: own.astype(np.float64) for c, own in references.items()}

    def mean(category: int, without: int | None = None) -> NDArray[np.float64]:
        kept = [k for k in range(len(exact[category])) if k != without or len(exact[category]) == 1]
        total = np.zeros(len(region))
        for k in kept:
            total += weights[category][k] * exact[category][k]
        return total

    near = {c: cosine(region.astype(np.float64), mean(c)) for c in exact}
    agents = sorted(near, key=lambda c: (-near[c], c))[:m]
    own = order_probabilities([near[a] for a in agents], tau, standardise)
    scores = {}
    for candidate in agents:
        averaged = np.zeros(len(own))
        for k, reference in enumerate(exact[candidate]):
            similarities = [
                cosine(reference, mean(a, without=k if a == candidate else None)) for a in agents
            ]
            p = np.array(order_probabilities(similarities, tau, standardise))
            averaged += weights[candidate][k] * p / sum(weights[candidate])
        # scipy gives the square root of the divergence, in units of ln 2 for base 2
        scores[candidate] = 1 - float(jensenshannon(own, averaged, base=2)) ** 2
    return scores


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize(
    ("sizes", "m"),
    [([3, 5, 1, 2, 4], 3), ([2, 1, 7, 3, 3, 2], 5), ([1, 1, 1], 2), ([4, 2], 6), ([3], 5)],
    ids=["uneven", "five agents", "single references", "more agents than categories", "one"],
)
def test_scores_are_those_of_the_formula(sizes: list[int], m: int, standardise: bool) -> None:
    references = random_bank(7, sizes)
    weights = {c: [1.0] * len(own) for c, own in references.items()}
    regions = unit(np.random.default_rng(1).normal(size=(4, 6)))
    tau = 0.4 if standardise else 0.1
    matcher = RankingMatcher(References.of(bank(references)), m, tau, standardise)
    matches = matcher.match(regions)
    assert matches.category_ids.tolist() == sorted(references)
    for region, scores in zip(regions, matches.scores, strict=True):
        expected = brute_force(region, references, weights, m, tau, standardise)
        dense = [expected.get(int(c), 0.0) for c in matches.category_ids]
        np.testing.assert_allclose(scores, dense, atol=2e-5)


@pytest.mark.parametrize("standardise", [True, False])
def test_references_count_by_their_weight(standardise: bool) -> None:
    references = random_bank(3, [4, 3, 2])
    sources = {1: ["diffusion", "folder", "folder", "diffusion"], 4: ["folder"] * 3}
    weights = {1: [1.0, 2.5, 2.5, 1.0], 4: [2.5] * 3, 7: [1.0] * 2}
    # ids sort generated images first
    references[1] = references[1][[0, 3, 1, 2]]
    sources[1], weights[1] = sorted(sources[1]), sorted(weights[1])
    voting = References.of(bank(references, sources), {"folder": 2.5})
    region = unit(np.random.default_rng(2).normal(size=(1, 6)))
    (scores,) = RankingMatcher(voting, 3, 0.3, standardise).match(region).scores
    expected = brute_force(region[0], references, weights, 3, 0.3, standardise)
    np.testing.assert_allclose(scores, [expected[c] for c in (1, 4, 7)], atol=2e-5)
    even = RankingMatcher(References.of(bank(references, sources)), 3, 0.3, standardise)
    assert np.abs(even.match(region).scores[0] - scores).max() > 1e-3


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=6).map(np.array),
    st.sampled_from([1e-3, 0.07, 1.0]),
)
def test_plackett_luce_is_a_distribution_at_any_temperature(
    similarities: NDArray[np.float64], tau: float
) -> None:
    p = plackett_luce(similarities / tau)
    assert np.isfinite(p).all()
    assert p.min() >= 0
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-6)
    sharpest = list(permutations(range(len(similarities))))[int(p.argmax())]
    ordered = similarities[list(sharpest)]
    assert (np.diff(ordered) <= 1e-6).all()  # the most probable order is the descending one


def test_plackett_luce_of_three_by_hand() -> None:
    p = plackett_luce(np.log([[3.0, 2.0, 1.0]]))
    orders = [
        3 / 6 * 2 / 3,
        3 / 6 * 1 / 3,
        2 / 6 * 3 / 4,
        2 / 6 * 1 / 4,
        1 / 6 * 3 / 5,
        1 / 6 * 2 / 5,
    ]
    np.testing.assert_allclose(p, [orders], rtol=1e-12)


def test_equal_similarities_make_all_orders_alike() -> None:
    """Rounding noise must not be blown up to an order by standardising it."""
    axes = np.eye(4, dtype=np.float32)
    matcher = RankingMatcher(References.of(bank({c: axes[[c]] for c in range(3)})), 3, 0.07, True)
    noise = np.array([[1e-8, 0, 2e-8, 1]], np.float32)
    (scores,) = matcher.match(noise).scores
    np.testing.assert_allclose(scores, scores[0], atol=1e-6)
    assert 0 < scores[0] < 1


@pytest.mark.parametrize("standardise", [True, False])
def test_the_structure_among_classes_decides_and_not_one_similarity(standardise: bool) -> None:
    """The region is a little nearer to the fish, but like a bird it has sky and no water in it."""
    fish, bird, water, sky = np.eye(4)
    images = {0: fish + water / 2, 1: bird + sky / 2, 2: water, 3: sky}
    references = {c: unit(image[None]) for c, image in images.items()}
    matcher = RankingMatcher(References.of(bank(references)), 4, 0.3, standardise)
    region = unit((1.02 * fish + 0.8 * bird + 0.4 * sky)[None])
    matches = matcher.match(region)
    assert (region @ np.concatenate(list(references.values())).T).argmax() == 0
    assert matches.scores[0].argmax() == 1


def test_only_agents_score_and_chosen_categories_take_part() -> None:
    references = random_bank(5, [3, 2, 4, 3])
    matcher = RankingMatcher(References.of(bank(references)), 2, 0.2, neighbours=3)
    regions = unit(np.random.default_rng(0).normal(size=(5, 6)))
    matches = matcher.match(regions)
    assert ((matches.scores > 0).sum(axis=1) <= 2).all()
    similarities = regions @ matcher.means.T
    for scores, similarity in zip(matches.scores, similarities, strict=True):
        assert (scores[np.argsort(similarity)[:2]] == 0).all()

    chosen = [4, 10]
    restricted = matcher.match(regions, chosen)
    alone = RankingMatcher(
        References.of(bank({c: references[c] for c in chosen})), 2, 0.2, neighbours=3
    ).match(regions)
    assert restricted.category_ids.tolist() == chosen
    np.testing.assert_allclose(restricted.scores, alone.scores, atol=1e-6)
    np.testing.assert_array_equal(restricted.neighbour_id, alone.neighbour_id)
    with pytest.raises(BankError, match="at least one of 1 categories, found none"):
        matcher.match(regions, [77])


def test_types_shapes_and_the_references_shown() -> None:
    references = random_bank(5, [2, 1, 4])
    features = bank(references)
    matcher = RankingMatcher(References.of(features), neighbours=3)
    matches = matcher.match(references[4])  # the only reference of category 4 itself
    assert matches.scores.dtype == np.float32
    assert matches.scores[0].argmax() == 1
    assert matches.neighbour_id.tolist() == [[features.feature_id[2], NO_FEATURE, NO_FEATURE]]
    np.testing.assert_allclose(matches.neighbour_similarity, [[1, np.nan, np.nan]], rtol=1e-6)
    empty = matcher.match(np.zeros((0, 6), np.float32))
    assert (empty.scores.shape, empty.neighbour_id.shape) == ((0, 3), (0, 3))


def test_many_regions_are_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    references = random_bank(9, [3, 3, 2, 5])
    regions = unit(np.random.default_rng(4).normal(size=(9, 6)))
    matcher = RankingMatcher(References.of(bank(references)), 3)
    whole = matcher.match(regions)
    monkeypatch.setattr("query.matchers.ranking._VALUES_AT_ONCE", 2 * 5 * 6)
    np.testing.assert_allclose(matcher.match(regions).scores, whole.scores, atol=1e-6)


def test_stored_means_give_the_same() -> None:
    references = random_bank(11, [3, 3, 2])
    features = bank(references)
    stored = derive_prototypes(features.embeddings, features.feature_id)
    regions = unit(np.random.default_rng(4).normal(size=(3, 6)))
    voting = References.of(features)
    np.testing.assert_array_equal(
        RankingMatcher(voting, stored=stored).match(regions).scores,
        RankingMatcher(voting).match(regions).scores,
    )
