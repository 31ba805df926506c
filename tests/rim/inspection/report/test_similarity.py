"""Similarities of categories against plain loops and by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rim.inspection.report.similarity import CategorySimilarity, Neighbour, Pair, measure_similarity
from schemas.errors import BankDamaged
from tests.rim.inspection.report.conftest import Written


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def similarity_of(means: np.ndarray) -> CategorySimilarity:
    means = unit(means)
    return CategorySimilarity(np.arange(len(means)) * 10, means @ means.T, {})


def test_cosines_and_standings_are_those_of_plain_loops(written: Written) -> None:
    features = written.bank.features()
    foreground = features.role == 0
    vectors = features.embeddings[foreground].astype(np.float64)
    owners, images = features.category_id[foreground], features.image_id[foreground]
    ids = np.unique(owners)
    means = unit(np.stack([vectors[owners == one].mean(axis=0) for one in ids]))

    found = measure_similarity(written.bank)

    assert found.category_ids.tolist() == ids.tolist()
    np.testing.assert_allclose(found.cosine, means @ means.T, atol=1e-6)
    assert set(found.standings) == set(images.tolist())
    for vector, owner, image_id in zip(vectors, owners, images.tolist(), strict=True):
        standing = found.standings[image_id]
        rest = (owners == owner) & (images != image_id)
        own = float(unit(vectors[rest].mean(axis=0)) @ vector)
        others = {int(one): float(mean @ vector) for one, mean in zip(ids, means, strict=True)}
        del others[int(owner)]
        assert standing.own == pytest.approx(own, abs=1e-5)
        assert standing.other == pytest.approx(max(others.values()), abs=1e-5)
        assert standing.other_id == max(others, key=lambda one: others[one])
        assert standing.confused == (max(others.values()) > own)


def test_nearest_and_pairs_by_hand() -> None:
    found = similarity_of(np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0.1]]))

    root = float(np.sqrt(0.5))
    close = 1 / float(np.sqrt(1.01))
    assert found.nearest(0, 2) == (
        Neighbour(30, pytest.approx(close)),
        Neighbour(10, pytest.approx(root)),
    )
    assert found.pairs(2) == (
        Pair(0, 30, pytest.approx(close)),
        Pair(0, 10, pytest.approx(root)),
    )
    assert found.nearest(7, 3) == ()
    assert len(found.pairs(100)) == 6
    assert found.only(frozenset({0, 20})).pairs(5) == (Pair(0, 20, pytest.approx(0)),)


def test_the_order_puts_groups_together() -> None:
    generator = np.random.default_rng(1)
    groups = np.arange(24) % 4
    centres = np.eye(8)[:4]
    found = similarity_of(centres[groups] + 0.1 * generator.normal(size=(24, 8)))

    order = found.order()

    assert sorted(order.tolist()) == list(range(24))
    assert np.count_nonzero(np.diff(groups[order])) == 3


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_order_of_few_is_their_own(count: int) -> None:
    assert similarity_of(np.eye(4)[:count].reshape(count, 4)).order().tolist() == list(range(count))


def test_features_that_are_no_numbers_are_damage(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = written.bank.features()
    spoilt = features.embeddings.copy()
    spoilt[2, 1] = np.nan
    bad = replace(features, embeddings=spoilt)
    monkeypatch.setattr(type(written.bank), "features", lambda _: bad)
    with pytest.raises(BankDamaged, match="finite"):
        measure_similarity(written.bank)


def test_measuring_leaves_the_bank_alone(written: Written, tmp_path: Path) -> None:
    before = sorted(path.name for path in written.bank.path.rglob("*"))
    measure_similarity(written.bank)
    assert sorted(path.name for path in written.bank.path.rglob("*")) == before
