"""Which categories are alike, by hand; weak categories; reasons by kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rim.inspection.report.overview import (
    PERSON_GROUP,
    CategorySummary,
    disk_parts,
    find_weak,
    group_reasons,
    summarise_categories,
)
from rim.inspection.report.similarity import CategorySimilarity, Neighbour, Pair, measure_similarity
from schemas.errors import BankDamaged
from schemas.ids import unpack_image_id
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


SOUND = CategorySummary(
    category_id=3,
    name="house",
    synonyms=(),
    images=50,
    accepted=40,
    rejected=10,
    failed=0,
    agreement=0.7,
    sam_score=0.9,
    mask_area=0.3,
    own=0.8,
    confused=3,
    nearest=None,
    image_ids=(),
    cover=None,
)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"accepted": 10}, []),
        ({"accepted": 9}, ["Only 9 of 50 images accepted."]),
        ({"accepted": 2, "images": 4, "confused": 0}, ["Only 2 of 4 images accepted."]),
        ({"accepted": 3, "images": 4, "confused": 0}, []),
        ({"accepted": 0}, ["No accepted reference: no photo can be labelled with it."]),
        ({"confused": 20}, []),
        ({"confused": 21}, ["21 of 40 references are nearer to another category."]),
        ({"agreement": 0.39}, ["Mask and attention agree to 0.39 on average."]),
        ({"agreement": None}, []),
        (
            {"accepted": 9, "confused": 5},
            [
                "Only 9 of 50 images accepted.",
                "5 of 9 references are nearer to another category.",
            ],
        ),
    ],
)
def test_weak_categories_by_the_rule(changes: dict[str, object], found: list[str]) -> None:
    weak = find_weak([replace(SOUND, **changes)])  # type: ignore[arg-type]

    assert [reason for one in weak for reason in one.reasons] == found


def test_reasons_of_one_kind_are_counted_together() -> None:
    rows = [
        ("rejected", "nearer to another category, grass (by more than 0.15 in cosine)", False),
        ("rejected", "nearer to another category, sky (by more than 0.15 in cosine)", False),
        ("rejected", "nearer to another category, sky (by more than 0.15 in cosine)", False),
        ("rejected", "mask too small (below 0.005 of the image)", False),
        ("failed", "generation failed: CUDA out of memory", False),
        ("failed", "generation failed: disk", False),
        ("rejected", "blurred", True),
        ("rejected", "(odd", False),
    ]

    groups = group_reasons(rows)

    assert [(one.status, one.title, one.images) for one in groups] == [
        ("rejected", "nearer to another category", 3),
        ("failed", "generation failed", 2),
        ("rejected", "(odd", 1),
        ("rejected", "mask too small", 1),
        ("rejected", PERSON_GROUP, 1),
    ]
    assert groups[0].details == (
        ("nearer to another category, sky (by more than 0.15 in cosine)", 2),
        ("nearer to another category, grass (by more than 0.15 in cosine)", 1),
    )


def test_disk_parts_are_the_version_s_files(written: Written) -> None:
    parts = {part.name: part.bytes for part in disk_parts(written.bank)}

    folder = written.bank.path
    assert parts["index"] == (folder / "index" / "000003.faiss").stat().st_size
    assert parts["verdicts"] == (folder / "verdicts" / "000002.parquet").stat().st_size
    pixels = sum(path.stat().st_size for path in folder.rglob("pixels.parquet"))
    assert parts["images and attention maps"] == pixels
    assert sum(parts.values()) == sum(record.size for _, record in written.bank.files())


def test_covers_are_accepted_and_most_typical(written: Written) -> None:
    found = measure_similarity(written.bank)
    own = {
        image_id: standing.own
        for image_id, standing in found.standings.items()
        if unpack_image_id(image_id).category_id == 3
    }
    house = summarise_categories(written.bank, written.bank.categories, found)[0]

    assert house.cover == max(own, key=lambda one: own[one] or -2)
    assert (house.images, house.accepted, house.rejected, house.failed) == (12, 7, 4, 1)


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
