"""Masks that are too large: where the category's others are small, and not where they are large."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bank_builder.rejection import LARGE, MIN_IMAGES, QUANTILE, Masks, find_too_large

EXCESS = 0.25
THING = (0.31, 0.22, 0.4, 0.18, 0.27, 0.35, 0.3, 0.25)
STUFF = (1.0, 0.99, 1.0, 0.96, 1.0, 0.93, 1.0, 0.98)
TABLE = (0.98, 0.96, 0.94, 0.93, 0.8, 0.54, 0.41, 0.39, 0.27, 0.1)
"""Dining tables as people outlined them in photos: the category has close-ups."""
FIELD = (0.85, 0.66, 0.64, 0.53, 0.48)
"""Playing fields, likewise: stuff that fills none of its photos."""


def found(*areas: float, given: tuple[int, ...] = ()) -> list[int]:
    """The positions of those that are too large; given: the positions of a person's masks."""
    by_person = np.zeros(len(areas), bool)
    by_person[list(given)] = True
    return find_too_large(Masks(np.array(areas, float), by_person), EXCESS).tolist()


@pytest.mark.parametrize(
    ("areas", "wrong"),
    [
        (THING, []),
        (STUFF, []),
        (TABLE, []),
        (FIELD, []),
        ((*THING, 1.0), [8]),
        ((1.0, *THING, 0.8), [0, 9]),
        ((*THING, 0.74), []),  # below what is large
        ((*STUFF, *THING), []),  # stuff, or half of the images are close-ups
        ((*THING, *STUFF[:4]), []),  # more than a quarter: areas cannot say
        ((1.0, 0.2, 0.3, 0.2), []),  # too few to compare
        ((1.0, 0.2, 0.3, 0.2, 0.3), [0]),
        ((1.0, 0.2, 0.3, 0.2, 0.8), []),  # the fourth of five is 0.8
        ((), []),
    ],
)
def test_the_categorys_other_masks_decide(areas: tuple[float, ...], wrong: list[int]) -> None:
    assert found(*areas) == wrong


def test_a_persons_mask_is_evidence_and_stays() -> None:
    assert found(*THING, 1.0, 1.0, given=(8,)) == [9]
    assert found(1.0, 1.0, 1.0, 0.2, 0.3, 0.2, given=(0, 1)) == []


def test_an_excess_of_the_whole_image_lets_all_pass() -> None:
    areas = np.array([*THING, 1.0])
    assert find_too_large(Masks(areas, np.zeros(9, bool)), 1.0).size == 0


areas_of_a_category = st.lists(
    st.one_of(st.floats(0.005, 1), st.sampled_from([0.2, 0.5, LARGE, 0.95, 1.0])), max_size=60
)
excesses = st.floats(0, 1)


def drawn(areas: list[float], seed: int) -> tuple[Masks, NDArray[np.intp]]:
    """Masks of these areas, some of them a person's; and a permutation of them."""
    rng = np.random.default_rng(seed)
    return Masks(np.array(areas, float), rng.random(len(areas)) < 0.2), rng.permutation(len(areas))


@given(areas_of_a_category, excesses, st.integers(0, 99))
def test_the_order_does_not_matter(areas: list[float], excess: float, seed: int) -> None:
    own, order = drawn(areas, seed)
    turned = Masks(own.area[order], own.given[order])
    assert sorted(order[find_too_large(turned, excess)]) == find_too_large(own, excess).tolist()


@given(areas_of_a_category, excesses, st.integers(0, 99), st.integers(2, 5))
def test_only_shares_count_and_not_how_many_images_there_are(
    areas: list[float], excess: float, seed: int, times: int
) -> None:
    own, _ = drawn(areas, seed)
    many = Masks(np.tile(own.area, times), np.tile(own.given, times))
    if len(areas) >= MIN_IMAGES:
        once = np.isin(np.arange(len(areas)), find_too_large(own, excess))
        again = np.isin(np.arange(len(many.area)), find_too_large(many, excess))
        np.testing.assert_array_equal(again, np.tile(once, times))


@given(areas_of_a_category, excesses, st.integers(0, 99))
def test_at_most_a_quarter_is_rejected_and_only_what_is_large(
    areas: list[float], excess: float, seed: int
) -> None:
    own, _ = drawn(areas, seed)
    wrong = find_too_large(own, excess)
    assert len(wrong) <= (1 - QUANTILE) * len(areas)
    assert (own.area[wrong] >= LARGE).all()
    assert not own.given[wrong].any()


@given(areas_of_a_category, excesses, st.integers(0, 99))
def test_a_larger_mask_elsewhere_never_makes_another_one_wrong(
    areas: list[float], excess: float, seed: int
) -> None:
    own, order = drawn(areas, seed)
    if not areas:
        return
    grown = own.area.copy()
    grown[order[0]] = 1.0
    before = set(find_too_large(own, excess).tolist())
    after = set(find_too_large(Masks(grown, own.given), excess).tolist())
    assert after - {int(order[0])} <= before
