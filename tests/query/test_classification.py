"""What speaks for and against a name: negatives, the threshold, text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from query.classification import Classifier, calibrated_threshold
from query.matchers import References
from schemas.ids import BACKGROUND, FOREGROUND, UNLABELLED
from schemas.sections import Matching
from tests.query.matchers.test_matchers import bank_features, query, towards

FISH, WATER = 0, 1


def classifier(
    rows: Sequence[tuple[int, int, tuple[float, ...]]], **settings: object
) -> Classifier:
    plain = {"background": None, "neighbours": 2}
    return Classifier(bank_features(rows), Matching(**{**plain, **settings}))  # type: ignore[arg-type]


SEA = [
    (FISH, FOREGROUND, towards(0)),
    (FISH, FOREGROUND, towards(8)),
    (FISH, BACKGROUND, towards(50)),
    (WATER, FOREGROUND, towards(70)),
    (WATER, FOREGROUND, towards(74)),
    (WATER, BACKGROUND, towards(-6)),
]


def test_a_category_is_vetoed_where_its_own_background_is_nearer() -> None:
    """At 36 degrees the fish is nearest, but what surrounds fish is nearer still."""
    assert classifier(SEA, negatives=False).classify(query(36)).category_id.tolist() == [FISH]
    named = classifier(SEA).classify(query(36, 2, 72))
    assert named.scores[0, FISH] == 0
    assert named.category_id.tolist() == [WATER, FISH, WATER]


def test_a_background_is_no_veto_of_other_categories() -> None:
    """The water's background is a fish; that fish is a fish all the same."""
    assert classifier(SEA).classify(query(-5)).category_id.tolist() == [FISH]


def test_with_every_category_vetoed_it_is_none_of_these() -> None:
    named = classifier(SEA[:3]).classify(query(40))
    assert not named.known[0]
    assert named.category_id.tolist() == [UNLABELLED]
    votes = named.votes()
    assert votes.shape == (1, 2)
    assert votes[0, 0] == 0
    assert votes[0, 1] > 0


def test_below_the_threshold_it_is_none_of_these() -> None:
    named = classifier(SEA, background=0.9, negatives=False).classify(query(30, 20, -90))
    assert named.category_id.tolist() == [0, 0, -1]
    np.testing.assert_allclose(named.similarity, np.cos(np.radians([22, 12, 90])), atol=1e-6)
    votes = named.votes()
    np.testing.assert_array_equal(votes[0], [*named.scores[0], 0])
    np.testing.assert_array_equal(votes[2], [0, 0, named.score[2]])


@pytest.mark.parametrize("spread", [0.2, 3.0])
def test_the_threshold_is_calibrated_on_the_references_themselves(spread: float) -> None:
    """Where categories lie far apart strangers decide, where they overlap the references do."""
    rng = np.random.default_rng(0)
    centres = np.repeat(np.array([[1, 0.5], [0.5, 1], [1, 1]]) @ np.eye(2, 8) * 6, 20, axis=0)
    embeddings = rng.normal(size=(60, 8)) * spread + centres
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows = [(i // 20, FOREGROUND, tuple(row)) for i, row in enumerate(embeddings)]
    cosine = embeddings @ embeddings.T - 3 * np.eye(60)
    same = np.equal.outer(np.arange(60) // 20, np.arange(60) // 20)
    own = np.quantile(np.where(same, cosine, -2).max(1), 0.01)
    strange = np.quantile(np.where(same, -2, cosine).max(1), 0.8)
    assert (own < strange) == (spread == 3.0)
    threshold = calibrated_threshold(References.of(bank_features(rows)))
    assert threshold == pytest.approx(min(own, strange), abs=1e-6)
    assert classifier(rows, background="auto").threshold == threshold


def test_the_threshold_is_the_same_from_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(90, 6))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows = [(i // 18, FOREGROUND, tuple(row)) for i, row in enumerate(embeddings)]
    references = References.of(bank_features(rows))
    whole = calibrated_threshold(references)
    for name, value in (("_STRANGERS_AT_ONCE", 7), ("VALUES_AT_ONCE", 50)):
        monkeypatch.setattr(f"query.classification.{name}", value)
    assert calibrated_threshold(references) == pytest.approx(whole, abs=1e-6)


def test_only_some_references_stand_for_the_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third one, whichever category it is of."""
    monkeypatch.setattr("query.classification._STRANGERS", 2)
    rows = [(i // 3, FOREGROUND, towards(d)) for i, d in enumerate([0, 4, 8, 100, 104, 108])]
    cosine = np.cos(np.radians([100, 92]))  # of 0 and of 100 to the nearest stranger
    refused = np.quantile(cosine, 0.8)
    assert calibrated_threshold(References.of(bank_features(rows))) == pytest.approx(
        refused, abs=1e-6
    )


def test_single_references_calibrate_nothing() -> None:
    rows = [(0, FOREGROUND, towards(0)), (1, FOREGROUND, towards(90))]
    lonely = classifier(rows, background="auto")
    assert lonely.threshold is None
    assert lonely.classify(query(180)).known.all()


def test_of_equal_scores_the_more_similar_category_wins() -> None:
    """Both have one voter of two, and the scores are rounded to the same value by the blend."""
    rows = [(0, FOREGROUND, towards(-20)), (1, FOREGROUND, towards(20))]
    tie = classifier(rows, text_weight=1.0)
    text = np.array([[0.5, 0.5]], np.float32)
    assert tie.classify(query(1), text=text).category_id.tolist() == [1]
    assert tie.classify(query(-1), text=text).category_id.tolist() == [0]


@pytest.mark.parametrize(("weight", "winner"), [(0.0, FISH), (0.2, FISH), (0.8, WATER)])
def test_text_is_blended_by_its_weight(weight: float, winner: int) -> None:
    text = np.array([[0.0, 1.0]], np.float32)
    blended = classifier(SEA, text_weight=weight, negatives=False).classify(query(0), text=text)
    plain = classifier(SEA, negatives=False).classify(query(0))
    np.testing.assert_allclose(
        blended.scores, (1 - weight) * plain.scores + weight * text, rtol=1e-5
    )
    assert blended.category_id.tolist() == [winner]


@pytest.mark.parametrize("matcher", ["knn", "prototype", "ranking"])
def test_no_region_no_name(matcher: str) -> None:
    named = classifier(SEA, matcher=matcher).classify(np.zeros((0, 2), np.float32))
    assert named.category_id.shape == (0,)
    assert named.votes().shape == (0, 3)


def test_candidates_are_the_categories_with_references() -> None:
    candidates: NDArray[np.int32] = classifier(SEA).candidates([WATER, 7])
    assert candidates.tolist() == [WATER]
