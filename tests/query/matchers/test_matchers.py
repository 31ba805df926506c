"""Matchers: who votes, what a score means, and which references are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from query.matchers import KnnMatcher, Matcher, Matches, PrototypeMatcher, References
from query.matchers.base import NO_FEATURE
from query.matchers.prototype import nearest_of
from schemas.errors import BankError
from schemas.ids import (
    BACKGROUND,
    FOREGROUND,
    SOURCES,
    pack_feature_id,
    pack_image_id,
    unpack_feature_ids,
    unpack_image_ids,
)
from schemas.store.bank import BankFeatures
from schemas.store.index import index_order

Floats = NDArray[np.float32]

EAST, NORTH, WEST = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)


def towards(degrees: float) -> tuple[float, float]:
    return float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))


def bank_features(rows: Sequence[tuple[int, int, tuple[float, ...]]]) -> BankFeatures:
    """Features of (category_id, role, embedding), numbered within their category and role."""
    counts: dict[tuple[int, int], int] = {}
    image_ids, feature_ids = [], []
    for category_id, role, _ in rows:
        number = counts.get((category_id, role), 0)
        counts[category_id, role] = number + 1
        image_ids.append(pack_image_id(category_id, "diffusion", number))
        feature_ids.append(pack_feature_id(image_ids[-1], role))
    return BankFeatures(
        embeddings=np.array([row[2] for row in rows], np.float32),
        feature_id=np.array(feature_ids, np.int64),
        image_id=np.array(image_ids, np.int64),
        category_id=np.array([row[0] for row in rows], np.int32),
        role=np.array([row[1] for row in rows], np.int8),
    )


def knn(features: BankFeatures, k: int) -> KnnMatcher:
    return KnnMatcher(References.of(features), k)


def in_bank_order(features: BankFeatures) -> BankFeatures:
    """The same rows as a bank has them: foregrounds first, then by feature_id."""
    order = index_order(features.feature_id)
    return BankFeatures(
        *(getattr(features, field.name)[order] for field in dataclasses.fields(features))
    )


COMPASS = bank_features(
    [
        (3, FOREGROUND, NORTH),
        (1, FOREGROUND, EAST),
        (1, FOREGROUND, towards(20)),
        (1, BACKGROUND, towards(90)),
        (8, FOREGROUND, WEST),
    ]
)
BOTH = [
    pytest.param(PrototypeMatcher(References.of(COMPASS), neighbours=2), id="prototype"),
    pytest.param(knn(COMPASS, 2), id="knn"),
]


def best(matches: Matches) -> list[int]:
    """The category of each region with the highest score."""
    return matches.category_ids[matches.scores.argmax(axis=1)].tolist()


def query(*degrees: float) -> Floats:
    return np.array([towards(d) for d in degrees], np.float32)


@pytest.mark.parametrize("matcher", BOTH)
def test_the_nearest_category_wins(matcher: Matcher) -> None:
    matches = matcher.match(query(5, 95, 170))
    assert best(matches) == [1, 3, 8]
    assert matches.category_ids.tolist() == [1, 3, 8]
    assert matches.category_ids.dtype == np.int32
    assert matches.scores.shape == (3, 3)
    assert matches.scores.dtype == np.float32


@pytest.mark.parametrize("matcher", BOTH)
def test_backgrounds_have_no_vote(matcher: Matcher) -> None:
    """Category 1 has a background that points north; the north is category 3's all the same."""
    matches = matcher.match(query(90))
    assert best(matches) == [3]
    assert COMPASS.feature_id[3] not in matches.neighbour_id


@pytest.mark.parametrize("matcher", BOTH)
def test_only_chosen_categories_take_part(matcher: Matcher) -> None:
    matches = matcher.match(query(5, 95), categories=[8, 3, 77])
    assert matches.category_ids.tolist() == [3, 8]
    assert best(matches) == [3, 3]
    with pytest.raises(BankError, match="at least one of 1 categories, found none"):
        matcher.match(query(5), categories=[77])


@pytest.mark.parametrize("matcher", BOTH)
def test_no_region_no_match(matcher: Matcher) -> None:
    matches = matcher.match(np.zeros((0, 2), np.float32))
    assert matches.scores.shape == (0, 3)
    assert matches.neighbour_id.shape == (0, 2)


def test_a_bank_of_backgrounds_has_no_references() -> None:
    with pytest.raises(BankError, match="found none in the bank"):
        References.of(bank_features([(1, BACKGROUND, EAST)]))


def test_prototype_score_is_the_cosine_to_the_mean() -> None:
    matches = PrototypeMatcher(References.of(COMPASS)).match(query(40))
    cosine = np.cos(np.radians([30, 50, 140]))  # the mean of category 1 points to 10 degrees
    np.testing.assert_allclose(matches.scores[0], (1 + cosine) / 2, rtol=1e-5)


def test_prototype_shows_the_nearest_references_of_the_winner() -> None:
    matches = PrototypeMatcher(References.of(COMPASS), neighbours=3).match(query(15))
    ids = COMPASS.feature_id
    assert matches.neighbour_id.tolist() == [[ids[2], ids[1], NO_FEATURE]]
    np.testing.assert_allclose(
        matches.neighbour_similarity, [[*np.cos(np.radians([5, 15])), np.nan]], rtol=1e-5
    )


def test_several_prototypes_follow_a_category_that_looks_in_several_ways() -> None:
    """Category 1 lies to both sides of category 2, so its only mean is inside category 2."""
    references = References.of(
        bank_features(
            [(1, FOREGROUND, towards(d)) for d in (0, 4, 178, 180)]
            + [(2, FOREGROUND, towards(d)) for d in (85, 95)]
        )
    )
    region = query(30)
    assert best(PrototypeMatcher(references, 1).match(region)) == [2]
    assert best(PrototypeMatcher(references, 2).match(region)) == [1]


def test_knn_score_is_the_weight_of_the_voters() -> None:
    features = bank_features(
        [(3, FOREGROUND, NORTH), (8, FOREGROUND, WEST)]
        + [(1, FOREGROUND, towards(d)) for d in (0, 20, 200)]
    )
    matches = knn(features, 3).match(query(40))
    weights = (1 + np.cos(np.radians([20, 40, 50]))) / 2
    expected = [weights[:2].sum() / 3, weights[2] / 3, 0]
    np.testing.assert_allclose(matches.scores, [expected], rtol=1e-5)
    ids = features.feature_id
    assert matches.neighbour_id.tolist() == [[ids[3], ids[2], ids[0]]]
    np.testing.assert_allclose(
        matches.neighbour_similarity, [np.cos(np.radians([20, 40, 50]))], rtol=1e-5
    )


def test_knn_outvotes_a_single_nearest_reference() -> None:
    features = bank_features([(1, FOREGROUND, towards(0))]
                             + [(2, FOREGROUND, towards(d)) for d in (10, 11, 12)])  # fmt: skip
    assert best(knn(features, 1).match(query(1))) == [1]
    assert best(knn(features, 3).match(query(1))) == [2]


def test_knn_asks_no_more_voters_than_the_largest_category_has() -> None:
    matches = knn(COMPASS, 50).match(query(0))
    assert matches.neighbour_id.shape == (1, 2)
    assert best(matches) == [1]


def test_the_weight_of_a_source_counts_in_the_vote() -> None:
    """One photo beside two generated images that lie a little nearer."""
    generated = bank_features([(1, FOREGROUND, towards(10)), (1, FOREGROUND, towards(-10)),
                               (2, FOREGROUND, towards(12)), (2, FOREGROUND, WEST)])  # fmt: skip
    folder = pack_image_id(2, "folder", 0)
    photo = replace(
        generated,
        image_id=np.array([*generated.image_id[:2], folder, generated.image_id[3]]),
        feature_id=np.array(
            [*generated.feature_id[:2], pack_feature_id(folder, 0), generated.feature_id[3]]
        ),
    )
    for weight, winner in ((1.0, 1), (5.0, 2), (0.0, 1)):
        references = References.of(photo, {"folder": weight})
        assert best(KnnMatcher(references, 2).match(query(4))) == [winner]
    without = References.of(photo, {"folder": 0.0})
    voters = without.feature_id[without.rows]
    assert voters.tolist() == sorted(generated.feature_id[[0, 1, 3]].tolist())
    with pytest.raises(BankError, match="found none"):
        References.of(photo, {"folder": 0.0, "diffusion": 0.0})


def test_best_similarity_is_that_of_the_nearest_reference() -> None:
    found = References.of(COMPASS).best_similarity(query(30), np.array([1, 3, 7, 8], np.int32))
    np.testing.assert_allclose(
        found, [[np.cos(np.radians(10)), 0.5, -1, np.cos(np.radians(150))]], atol=1e-6
    )


def mixed_bank(categories: int = 9, seed: int = 0, dimension: int = 8) -> BankFeatures:
    """Images and photos of many categories, both roles, in a bank's order."""
    rng = np.random.default_rng(seed)
    ids = [
        pack_feature_id(pack_image_id(3 * category, source, number), role)
        for category in range(categories)
        for source in SOURCES
        for number in range(int(rng.integers(1, 6)))
        for role in (FOREGROUND, BACKGROUND)
    ]
    feature_id = np.array(ids)
    image_id, role = unpack_feature_ids(feature_id)
    embeddings = rng.normal(size=(len(ids), dimension)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    category_id = unpack_image_ids(image_id).category_id
    return in_bank_order(BankFeatures(embeddings, feature_id, image_id, category_id, role))


@pytest.mark.parametrize("role", [FOREGROUND, BACKGROUND])
@pytest.mark.parametrize("photos", [0.0, 0.5, 1.0])
def test_no_copy_is_made_of_a_banks_vectors(role: int, photos: float) -> None:
    """Neither of one role, nor without a source, nor of a choice of categories."""
    features = mixed_bank()
    references = References.of(features, {"folder": photos}, role=role)
    for some in (references, references.restricted_to([3, 9, 12])):
        assert np.shares_memory(some.embeddings, features.embeddings)
        source = unpack_image_ids(features.image_id).source_code
        votes = (features.role == role) & ((source == SOURCES.index("diffusion")) | (photos > 0))
        votes &= np.isin(features.category_id, some.category_ids)
        voters = some.feature_id[some.rows]
        np.testing.assert_array_equal(voters, features.feature_id[votes])
        np.testing.assert_array_equal(some.embeddings[some.rows], features.embeddings[votes])
        assert set(some.weight[some.rows]) <= {np.float32(1.0), np.float32(photos)}


def test_features_in_another_order_give_the_same_references() -> None:
    """Those that a program makes itself; they are copied."""
    features = mixed_bank()
    order = np.random.default_rng(1).permutation(len(features.feature_id))
    shuffled = BankFeatures(
        *(getattr(features, field.name)[order] for field in dataclasses.fields(features))
    )
    one, other = References.of(features), References.of(shuffled)
    np.testing.assert_array_equal(one.feature_id[one.rows], other.feature_id[other.rows])
    np.testing.assert_array_equal(one.embeddings[one.rows], other.embeddings[other.rows])


@pytest.mark.parametrize("weights", [{}, {"folder": 0.0}, {"diffusion": 0.0}, {"folder": 2.0}])
@pytest.mark.parametrize("categories", [None, [0, 6, 9, 21]])
@pytest.mark.parametrize("at_once", [4096, 5])
def test_knn_votes_as_a_matrix_product_says(
    weights: dict[str, float],
    categories: list[int] | None,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("query.matchers.knn._ROWS_AT_ONCE", at_once)
    features, k = mixed_bank(), 4
    regions = mixed_bank(seed=1).embeddings[:13]
    matches = KnnMatcher(References.of(features, weights), k).match(regions, categories)

    source = np.array(SOURCES)[unpack_image_ids(features.image_id).source_code]
    weight = np.array([weights.get(name, 1.0) for name in source.tolist()])
    chosen = np.isin(features.category_id, categories if categories else features.category_id)
    votes = np.flatnonzero((features.role == FOREGROUND) & (weight > 0) & chosen)
    cosine = regions @ features.embeddings[votes].T
    nearest = np.argsort(-cosine, axis=1)[:, :k]
    np.testing.assert_array_equal(matches.neighbour_id, features.feature_id[votes][nearest])
    for region, scores in enumerate(matches.scores):
        voters = votes[nearest[region]]
        strength = weight[voters] * (1 + cosine[region, nearest[region]]) / 2
        expected = [
            strength[features.category_id[voters] == category].sum() / weight[voters].sum()
            for category in matches.category_ids
        ]
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_blocks_of_references_give_the_same_similarities(monkeypatch: pytest.MonkeyPatch) -> None:
    features = mixed_bank()
    references, regions = References.of(features), mixed_bank(seed=1).embeddings[:7]
    whole = references.best_similarity(regions, references.category_ids)
    winner = np.arange(7) % 2
    shown = nearest_of(references, regions, winner, 3)
    monkeypatch.setattr("query.matchers.base.VALUES_AT_ONCE", 15)
    monkeypatch.setattr("query.matchers.prototype.VALUES_AT_ONCE", 15)
    np.testing.assert_allclose(
        references.best_similarity(regions, references.category_ids), whole, atol=1e-6
    )
    np.testing.assert_array_equal(nearest_of(references, regions, winner, 3)[0], shown[0])


unit_vectors = st.integers(0, 359).map(towards)
feature_rows = st.tuples(st.integers(0, 4), st.sampled_from([FOREGROUND, BACKGROUND]), unit_vectors)


@settings(max_examples=60, deadline=None)
@given(st.lists(feature_rows, min_size=1, max_size=25), st.integers(1, 6), st.integers(0, 359))
def test_knn_of_a_choice_is_knn_of_a_bank_of_those(
    rows: list[tuple[int, int, tuple[float, ...]]], k: int, degrees: int
) -> None:
    features = bank_features([*rows, (2, FOREGROUND, EAST), (5, FOREGROUND, WEST)])
    alone = bank_features([*rows, (2, FOREGROUND, EAST)])
    region = query(degrees + 0.3)
    of_those = knn(alone, k).match(region)
    chosen = knn(in_bank_order(features), k).match(region, categories=[0, 1, 2, 3, 4])
    np.testing.assert_allclose(
        of_those.neighbour_similarity, chosen.neighbour_similarity, atol=1e-6
    )
    assert of_those.category_ids.tolist() == chosen.category_ids.tolist()
    assert (of_those.scores >= 0).all()
    assert (of_those.scores <= 1).all()
