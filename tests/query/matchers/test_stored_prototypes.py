"""The bank's stored prototypes: used if they are of the references that vote, and only then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from query.matchers.base import References
from query.matchers.prototype import PrototypeMatcher, prototypes_of
from schemas.errors import BankDamaged
from schemas.ids import pack_image_id
from schemas.store.bank import StoredBank
from schemas.store.manifests import commit_manifest, read_manifest
from schemas.store.prototypes import SUBCATEGORIES, Prototypes, cluster
from schemas.store.verdicts import Verdict, verdicts_folder, write_verdicts
from tests.query.examples import reference_row, write_bank

Floats = NDArray[np.float32]

LOOKS = {"house": (2, [0, 10, 20]), "fish": (5, [90, 100, 180]), "sea": (6, [270])}


def towards(degrees: float) -> Floats:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


@pytest.fixture
def bank(tmp_path: Path) -> StoredBank:
    rows = {
        name: [
            reference_row(category_id, name, number, towards(degrees), towards(200))
            for number, degrees in enumerate(own)
        ]
        for name, (category_id, own) in LOOKS.items()
    }
    return write_bank(tmp_path / "bank", rows)


def forged(bank: StoredBank) -> Prototypes:
    """The stored ones turned round, so that it shows whether they are used."""
    stored = bank.prototypes()
    assert stored is not None
    return replace(stored, embeddings=-stored.embeddings)


@pytest.mark.parametrize("per_category", [1, SUBCATEGORIES])
def test_they_are_those_that_would_be_derived(bank: StoredBank, per_category: int) -> None:
    references = References.of(bank.features())
    derived = prototypes_of(references, per_category)
    for used, expected in zip(
        prototypes_of(references, per_category, bank.prototypes()), derived, strict=True
    ):
        np.testing.assert_array_equal(used, expected)
    for used, expected in zip(
        prototypes_of(references, per_category, forged(bank)), derived, strict=True
    ):
        np.testing.assert_array_equal(used, -expected)


def test_a_choice_of_categories_takes_its_own(bank: StoredBank) -> None:
    matcher = PrototypeMatcher(References.of(bank.features()), stored=bank.prototypes())
    matches = matcher.match(towards(190)[None], categories=[5, 6])
    fish = cluster(np.stack([towards(d) for d in LOOKS["fish"][1]]), 1).centres[0]
    cosine = np.array([towards(190) @ fish, np.cos(np.radians(80))])
    np.testing.assert_allclose(matches.scores, [(1 + cosine) / 2], atol=1e-6)


def test_another_number_is_derived(bank: StoredBank) -> None:
    references = References.of(bank.features())
    for used, expected in zip(
        prototypes_of(references, 2, forged(bank)), prototypes_of(references, 2), strict=True
    ):
        np.testing.assert_array_equal(used, expected)


def test_references_of_other_weights_are_averaged_anew(bank: StoredBank) -> None:
    references = References.of(bank.features())
    alike = replace(references, weight=np.full_like(references.weight, 0.5))
    (house, *_) = prototypes_of(alike, 1, forged(bank))
    np.testing.assert_allclose(house, [-towards(10)], atol=1e-6)
    weight = references.weight.copy()
    weight[0] = 0.5
    (house, *_) = prototypes_of(replace(references, weight=weight), 1, forged(bank))
    mean = 0.5 * towards(0) + towards(10) + towards(20)
    np.testing.assert_allclose(house, [mean / np.linalg.norm(mean)], atol=1e-6)


def test_stale_ones_are_derived_anew(bank: StoredBank) -> None:
    """A later version rejects a fish, and its manifest still names the older prototypes."""
    odd = Verdict(pack_image_id(5, "diffusion", 2), "rejected", "no fish", "person")
    record = write_verdicts(verdicts_folder(bank.path) / "000004.parquet", [odd])
    changes = {"version": 4, "verdicts": record, "index": None, "feature_rows": None}
    commit_manifest(bank.path, read_manifest(bank.path).model_copy(update=changes))
    later = StoredBank(bank.path)
    _, fish, _ = prototypes_of(References.of(later.features()), 1, later.prototypes())
    np.testing.assert_allclose(fish, [towards(95)], atol=1e-6)


def test_damaged_ones_are_not_passed_over(bank: StoredBank) -> None:
    (file,) = bank.path.glob("index/*.prototypes.parquet")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BankDamaged, match="rim verify --repair"):
        bank.prototypes()
