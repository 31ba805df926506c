"""Label-set similarity: hand-computed cosines, and scipy's Hausdorff distance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import directed_hausdorff

from rim.evaluation.label_similarity import BestMatch, label_similarity
from schemas.errors import UsageError


def at_degrees(*angles: float) -> NDArray[np.float32]:
    """Unit vectors in the plane."""
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_both_directions_by_hand() -> None:
    found = label_similarity(
        ["house", "fish", "key"], at_degrees(0, 60, 90), ["building", "carp"], at_degrees(0, 60)
    )

    # house - building 0 degrees apart, fish - carp 0, key - carp 30.
    assert found.a_to_b.hausdorff == pytest.approx(np.cos(np.radians(30)))
    assert found.a_to_b.mean == pytest.approx((1 + 1 + np.cos(np.radians(30))) / 3)
    assert found.a_to_b.matches[0] == BestMatch("key", "carp", found.a_to_b.hausdorff)
    assert {(one.category, one.match) for one in found.a_to_b.matches[1:]} == {
        ("house", "building"),
        ("fish", "carp"),
    }
    assert (found.b_to_a.hausdorff, found.b_to_a.mean) == pytest.approx((1, 1))
    assert found.hausdorff == found.a_to_b.hausdorff


def test_opposites_are_at_minus_one() -> None:
    found = label_similarity(["up"], at_degrees(90), ["down"], at_degrees(270))

    assert found.hausdorff == found.a_to_b.mean == pytest.approx(-1)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_scipys_hausdorff_distance(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = (generator.normal(size=(n, 8)) for n in (30, 21))
    a, b = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (a, b))
    names_a, names_b = [f"a{i}" for i in range(30)], [f"b{i}" for i in range(21)]

    found = label_similarity(names_a, a.astype(np.float32), names_b, b.astype(np.float32))

    # Of unit vectors |x - y|^2 = 2 - 2 cos(x, y).
    for direction, (first, second), names in (
        (found.a_to_b, (a, b), (names_a, names_b)),
        (found.b_to_a, (b, a), (names_b, names_a)),
    ):
        distance, row, nearest = directed_hausdorff(first, second)
        assert direction.hausdorff == pytest.approx(1 - distance**2 / 2, abs=1e-6)
        worst = direction.matches[0]
        assert (worst.category, worst.match) == (names[0][row], names[1][nearest])
    both = max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])
    assert found.hausdorff == pytest.approx(1 - both**2 / 2, abs=1e-6)


def test_a_vocabulary_is_at_one_with_itself_and_with_what_holds_it() -> None:
    values = at_degrees(0, 20, 40, 80)
    names = ["a", "b", "c", "d"]

    same = label_similarity(names, values, names, values)
    part = label_similarity(names[:2], values[:2], names, values)

    assert same.hausdorff == pytest.approx(1)
    assert all(one.category == one.match for one in same.a_to_b.matches)
    assert part.a_to_b.hausdorff == pytest.approx(1)
    assert part.b_to_a.hausdorff == pytest.approx(np.cos(np.radians(60)))


def test_what_cannot_be_compared_is_refused() -> None:
    one = at_degrees(0)
    with pytest.raises(UsageError, match="at least one category each"):
        label_similarity(["a"], one, [], one[:0])
    with pytest.raises(ValueError, match=r"expected \(2, d\) embeddings, found \(1, 2\)"):
        label_similarity(["a"], one, ["b", "c"], one)
    with pytest.raises(ValueError, match="L2-normalised"):
        label_similarity(["a"], one, ["b"], 2 * one)
