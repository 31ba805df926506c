"""Matchers: who votes, what a score means, and which references are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from query.matchers import KnnMatcher, Matcher, Matches, PrototypeMatcher, References
from query.matchers.base import NO_FEATURE
from schemas.bank import BankFeatures
from schemas.errors import BankError
from schemas.ids import BACKGROUND, FOREGROUND, pack_feature_id, pack_image_id

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


@dataclass(frozen=True)
class FlatIndex:
    """A stand-in for the bank's index, over all features that it ever had."""

    features: BankFeatures

    def search(self, queries: Floats, k: int) -> tuple[Floats, NDArray[np.int64]]:
        index = faiss.IndexFlatIP(self.features.embeddings.shape[1])
        index.add(self.features.embeddings)
        similarity, rows = index.search(queries, min(k, index.ntotal))
        return similarity, self.features.feature_id[rows]


def knn(features: BankFeatures, k: int, indexed: BankFeatures | None = None) -> KnnMatcher:
    return KnnMatcher(References.of(features), FlatIndex(indexed or features), k)


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
    """One photo beside two generated pictures that lie a little nearer."""
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
        assert best(KnnMatcher(references, FlatIndex(photo), 2).match(query(4))) == [winner]
    without = References.of(photo, {"folder": 0.0})
    assert without.feature_id.tolist() == sorted(generated.feature_id[[0, 1, 3]].tolist())
    with pytest.raises(BankError, match="found none"):
        References.of(photo, {"folder": 0.0, "diffusion": 0.0})


def test_best_similarity_is_that_of_the_nearest_reference() -> None:
    found = References.of(COMPASS).best_similarity(query(30), np.array([1, 3, 7, 8], np.int32))
    np.testing.assert_allclose(
        found, [[np.cos(np.radians(10)), 0.5, -1, np.cos(np.radians(150))]], atol=1e-6
    )


def test_references_that_left_the_bank_are_skipped_in_its_index() -> None:
    """The index is made once; images rejected later are still in it."""
    crowd = [(5, FOREGROUND, towards(d / 10)) for d in range(40)]
    indexed = bank_features([*crowd, (6, FOREGROUND, towards(50)), (7, FOREGROUND, towards(90))])
    now = bank_features([(6, FOREGROUND, towards(50)), (7, FOREGROUND, towards(90))])
    matches = knn(now, 2, indexed).match(query(1, 80))
    assert best(matches) == [6, 7]


unit_vectors = st.integers(0, 359).map(towards)
feature_rows = st.tuples(st.integers(0, 4), st.sampled_from([FOREGROUND, BACKGROUND]), unit_vectors)


@settings(max_examples=60, deadline=None)
@given(st.lists(feature_rows, min_size=1, max_size=25), st.integers(1, 6), st.integers(0, 359))
def test_knn_is_the_same_through_the_index_and_directly(
    rows: list[tuple[int, int, tuple[float, ...]]], k: int, degrees: int
) -> None:
    features = bank_features([*rows, (2, FOREGROUND, EAST), (5, FOREGROUND, WEST)])
    direct = bank_features([*rows, (2, FOREGROUND, EAST)])
    region = query(degrees + 0.3)
    through = knn(direct, k).match(region)
    straight = knn(features, k).match(region, categories=[0, 1, 2, 3, 4])
    np.testing.assert_allclose(
        through.neighbour_similarity, straight.neighbour_similarity, atol=1e-6
    )
    assert through.category_ids.tolist() == straight.category_ids.tolist()
    assert (through.scores >= 0).all()
    assert (through.scores <= 1).all()
