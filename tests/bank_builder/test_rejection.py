"""Verdicts across images: which references are wrong, why, and that a person stands above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bank_builder.build import build_bank
from bank_builder.derived import read_masks
from bank_builder.rejection import Masks, find_wrong, judge
from bank_builder.sources.diffusion import image_seed
from schemas.ids import pack_image_id
from schemas.sections import Reference
from schemas.store.bank import StoredBank
from schemas.store.feature_rows import FeatureRows
from schemas.store.verdicts import Verdict, effective_verdicts
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import StandInPainter, StandInStack, colour_of, settings
from tests.bank_builder.test_rejection_confusions import clusters

NAMES = {3: "fish", 13: "owl", 23: "ant"}


def ids(category_id: NDArray[np.int64], source: str = "diffusion") -> NDArray[np.int64]:
    """An image_id for each entry, numbered within the category."""
    numbers = [
        int(np.count_nonzero(category_id[:row] == one)) for row, one in enumerate(category_id)
    ]
    return np.array(
        [pack_image_id(int(one), source, n) for one, n in zip(category_id, numbers, strict=True)]
    )


def small(count: int) -> Masks:
    """Masks of SAM's that leave most of their images free."""
    return Masks(np.full(count, 0.3), np.zeros(count, bool))


def test_the_reason_names_the_bound_and_the_other_category() -> None:
    features, category_id = clusters(3, 20)
    image_id = ids(category_id)
    features[[4, 25]] = features[[25, 4]]

    reasons = find_wrong(features, image_id, small(60), NAMES, Reference())

    assert reasons == {
        image_id[4]: "nearer to another category, owl (by more than 0.15 in cosine)",
        image_id[25]: "nearer to another category, fish (by more than 0.15 in cosine)",
    }


def test_what_is_like_no_category_is_an_outlier_of_its_own() -> None:
    features, category_id = clusters(3, 20, noise=0.3)
    features[4] = -features[:20].mean(axis=0) / np.linalg.norm(features[:20].mean(axis=0))
    apart = Reference(confusion_margin=2.0)

    assert list(find_wrong(features, ids(category_id), small(60), NAMES, apart).values()) == [
        "outlier of its category (more than 6 spreads below the median similarity)"
    ]


def test_a_few_photos_are_no_outliers_of_many_generated_images() -> None:
    features, category_id = clusters(3, 40, noise=0.3)
    photos = slice(0, 4)
    features[photos, :32] *= -0.5  # photos of the category look different, all in the same way
    features[photos] /= np.linalg.norm(features[photos], axis=1, keepdims=True)
    generated = ids(category_id)
    mixed = np.concatenate([ids(category_id[photos], "folder"), generated[4:]])

    as_generated = find_wrong(features, generated, small(120), NAMES, Reference())
    as_photos = find_wrong(features, mixed, small(120), NAMES, Reference())

    assert sorted(as_generated) == generated[photos].tolist()
    assert as_photos == {}


def test_a_mask_of_all_there_is_is_wrong_in_a_thing_and_right_in_stuff() -> None:
    features, category_id = clusters(3, 20)
    image_id, masks = ids(category_id), small(60)
    masks.area[20:40] = 1.0
    masks.area[[4, 45]] = 0.97
    features[[45, 25]] = features[[25, 45]]  # also nearer to another category

    reasons = find_wrong(features, image_id, masks, NAMES, Reference())

    large = (
        "mask too large for its category (above 0.75 of the image and more than 0.25 above its "
        "upper quartile)"
    )
    assert reasons == {
        image_id[4]: large,
        image_id[45]: large,
        image_id[25]: "nearer to another category, ant (by more than 0.15 in cosine)",
    }
    order = np.random.default_rng(0).permutation(60)
    turned = Masks(masks.area[order], masks.given[order])
    assert find_wrong(features[order], image_id[order], turned, NAMES, Reference()) == reasons


@pytest.fixture
def confused(tmp_path: Path) -> tuple[StoredBank, int]:
    """Ants and owls, one of the ants painted in the owls' colour; and that ant's image_id."""
    astray = image_seed(0, "ant", 5)
    painter = StandInPainter(odd=lambda seed: seed == astray)
    names = ["ant", "owl"]
    # The odd image has the inverse of its category's colour.
    inverse = {tuple(255 - colour_of("ant")): colour_of("owl")}
    stack = StandInStack(painter)
    extract = stack.features.extract

    def repainted(images: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        return extract([_repainted(image, inverse) for image in images])

    stack.features.extract = repainted  # type: ignore[method-assign,assignment]
    build_bank(
        vocabulary_from_names(names), tmp_path / "bank", settings(images_per_category=9), stack
    )
    return StoredBank(tmp_path / "bank"), pack_image_id(0, "diffusion", 5)


def _repainted(
    image: NDArray[np.uint8], colours: dict[tuple[int, ...], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    image = image.copy()
    for old, new in colours.items():
        image[(image == np.array(old)).all(axis=2)] = new
    return image


def test_a_build_rejects_the_image_of_another_category(confused: tuple[StoredBank, int]) -> None:
    bank, image_id = confused

    rows = {row["image_id"]: row for row in bank.images_table().to_pylist()}

    assert [one for one in rows if rows[one]["status"] == "rejected"] == [image_id]
    assert rows[image_id]["reason"].startswith("nearer to another category, owl (")
    assert image_id not in bank.features().image_id
    assert bank.index().count == len(bank.features().feature_id) == 34


@pytest.mark.parametrize(("word", "features"), [("accepted", 36), ("rejected", 34)])
def test_a_persons_verdict_stands_above(
    confused: tuple[StoredBank, int], word: str, features: int
) -> None:
    bank, image_id = confused
    reason = None if word == "accepted" else "no ant"
    person = [Verdict(image_id, word, reason, "person")]  # type: ignore[arg-type]

    names = {record.category_id: record.name for record in bank.categories}
    rows = FeatureRows.accepted(
        bank.path, bank.shards, effective_verdicts(person), bank.manifest.dimension
    )
    embeddings = np.concatenate(list(rows.blocks()))
    masks = read_masks(bank.path, bank.shards, rows.foreground_images)
    judged = judge(embeddings, rows.feature_id, masks, names, person, bank.settings.reference)

    assert len(judged.accepted) == (36 if word == "accepted" else 34)
    assert int(judged.accepted.sum()) == features
    assert person[0] in judged.verdicts
    # What a person rejected is not looked at any more.
    assert len(judged.verdicts) == (2 if word == "accepted" else 1)
