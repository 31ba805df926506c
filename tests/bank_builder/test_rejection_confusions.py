"""References that look like another category: found, and few good ones lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bank_builder.rejection import MIN_IMAGES, Confusion, find_confusions, similarity_to_others
from foundation.category_similarity import similarity_to_means

MARGIN = 0.15


def clusters(
    categories: int, images: int, noise: float = 1.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors in R^64 about one direction a category; cosines of about 0.5 within it."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(categories, 64))
    category_id = np.repeat(np.arange(categories) * 10 + 3, images)
    values = np.repeat(centres, images, axis=0)
    values = values + generator.normal(0, noise, values.shape)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit.astype(np.float32), category_id


def nearer_by_loops(
    features: NDArray[np.float32], category_id: NDArray[np.int64], margin: float
) -> list[Confusion]:
    """The first round, written with plain loops from the docstring."""
    found = []
    for row, own_id in enumerate(category_id.tolist()):
        similarity = {}
        for other_id in sorted(set(category_id.tolist())):
            members = [
                features[i].astype(float)
                for i in range(len(features))
                if category_id[i] == other_id and i != row
            ]
            mean = np.mean(members, axis=0)
            similarity[other_id] = float(features[row] @ mean / np.linalg.norm(mean))
        best = max((i for i in similarity if i != own_id), key=lambda i: similarity[i])
        if similarity[best] - similarity[own_id] > margin:
            found.append(Confusion(row, best))
    return found


@pytest.mark.parametrize("fraction", [0.1, 0.3])
@pytest.mark.parametrize("concentrated", [False, True])
def test_planted_references_are_found_and_few_good_ones_lost(
    fraction: float, concentrated: bool
) -> None:
    features, category_id = clusters(20, 50)
    planted = (np.arange(len(features)) % 50) < fraction * 50
    rows = np.flatnonzero(planted)
    # A roll by one category's share gives each the next one's images, all of one kind.
    moved = np.roll(rows, round(50 * fraction) + (0 if concentrated else 1))
    features[rows] = features[moved]
    wrong = planted.copy()
    wrong[rows] = category_id[moved] != category_id[rows]
    belongs = category_id.copy()
    belongs[rows] = category_id[moved]

    found = find_confusions(features, category_id, MARGIN)

    positions = [one.position for one in found]
    assert wrong[positions].sum() >= 0.99 * wrong.sum()
    assert (~wrong)[positions].sum() <= 0.01 * (~wrong).sum()
    named = [one.category_id == belongs[one.position] for one in found if wrong[one.position]]
    assert np.mean(named) >= 0.99


def test_a_bank_without_wrong_references_loses_none() -> None:
    features, category_id = clusters(20, 50)

    assert find_confusions(features, category_id, MARGIN) == []


def test_nearly_half_of_two_categories_swapped_needs_the_means_taken_again() -> None:
    features, category_id = clusters(2, 50, noise=0.7)
    swapped = np.flatnonzero((np.arange(100) % 50) < 22)
    features[swapped] = features[np.roll(swapped, 22)]
    category_codes = np.unique(category_id, return_inverse=True)[1]

    first = similarity_to_means(features, category_codes, np.ones(100, bool))
    found = [one.position for one in find_confusions(features, category_id, MARGIN)]

    assert np.count_nonzero(first.other - first.own > MARGIN) < 44
    assert found == swapped.tolist()


def test_it_is_what_plain_loops_find() -> None:
    features, category_id = clusters(4, 12, noise=2.5, seed=3)
    features[[5, 30]] = features[[30, 5]]

    found = find_confusions(features, category_id, 0.3)

    assert [one.position for one in found] == [5, 30]
    assert found == nearer_by_loops(features, category_id, 0.3)


def test_the_own_similarity_leaves_the_reference_itself_out() -> None:
    features, category_id = clusters(3, 9)
    codes = np.unique(category_id, return_inverse=True)[1]

    near = similarity_to_means(features, codes, np.ones(len(features), bool))

    own = np.concatenate([similarity_to_others(features[codes == code]) for code in range(3)])
    np.testing.assert_allclose(near.own, own, atol=1e-5)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    features, category_id = clusters(5, 20, noise=2.0)
    features[[5, 30]] = features[[30, 5]]
    whole = find_confusions(features, category_id, 0.1)

    monkeypatch.setattr("foundation.category_similarity._ROWS_AT_ONCE", 7)

    assert find_confusions(features, category_id, 0.1) == whole
    assert whole


def test_two_names_of_one_thing_do_not_wipe_each_other_out() -> None:
    features, _ = clusters(2, 100)
    names = np.concatenate([np.arange(100) % 2, np.full(100, 2)])  # house, building; and fish

    assert find_confusions(features, names, MARGIN) == []


def test_a_category_keeps_half_of_its_references_the_worst_going_first() -> None:
    features, category_id = clusters(2, 20)
    features[:15] = features[20:35]  # 15 of the first category's 20 are of the second
    features[3] = features[20:].mean(axis=0) / np.linalg.norm(features[20:].mean(axis=0))

    found = [one.position for one in find_confusions(features, category_id, 0.05)]

    assert len(found) == 10
    assert 3 in found
    assert max(found) < 15


@pytest.mark.parametrize(("images", "rejected"), [(MIN_IMAGES, 0), (MIN_IMAGES + 1, 1)])
def test_a_category_keeps_enough_references_to_be_judged_by(images: int, rejected: int) -> None:
    features, category_id = clusters(2, 30)
    few = np.concatenate([np.arange(images), np.arange(30, 60)])
    features, category_id = features[few], category_id[few]
    features[:2] = features[-2:]

    assert len(find_confusions(features, category_id, MARGIN)) == rejected


def test_a_bank_of_one_category_has_nothing_to_be_confused_with() -> None:
    features, category_id = clusters(1, 10)

    assert find_confusions(features, category_id, MARGIN) == []
    assert find_confusions(features[:0], category_id[:0], MARGIN) == []
