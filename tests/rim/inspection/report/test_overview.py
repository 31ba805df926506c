"""A bank in numbers: weak categories, reasons by kind, disk space, covers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rim.inspection.report.overview import (
    PERSON_GROUP,
    CategorySummary,
    disk_parts,
    find_weak,
    group_reasons,
    summarise_categories,
)
from rim.inspection.report.similarity import measure_similarity
from schemas.ids import unpack_image_id
from tests.rim.inspection.report.conftest import Written

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
