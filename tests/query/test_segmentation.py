"""From a photo to labels: the online stage, in a world of plain colours and with tiny models."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import Dinov2Config, Dinov2Model

from foundation.images.masks import decode_rle
from foundation.images.reading import encode_png
from foundation.patch_features import PatchFeatures
from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import build_sam
from query.segmentation import QueryEngine
from schemas.errors import BankError, ImageError, ModelError, UsageError
from schemas.ids import UNLABELLED, unpack_image_id
from schemas.settings import Proposals, Settings, apply_overrides
from schemas.store.bank import StoredBank
from schemas.store.manifests import commit_manifest
from tests.query.coloured import COLOURS, IDS, ColourStack, colour_bank
from tests.query.test_proposals import TINY_SAM


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> ColourStack:
    return ColourStack(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory, stack: ColourStack) -> StoredBank:
    return colour_bank(tmp_path_factory.mktemp("bank"), stack)


def settings(bank: StoredBank, *overrides: str) -> Settings:
    plain = ["proposals.grid=8", "matching.background=none", "matching.patch_smoothing=1"]
    return apply_overrides(bank.settings, [*plain, *overrides])


def scene() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Sea above grass, with a poppy on the grass, and its truth."""
    truth = np.full((64, 96), IDS["sea"], np.int32)
    truth[32:] = IDS["grass"]
    truth[40:56, 16:48] = IDS["poppy"]
    image = np.zeros((64, 96, 3), np.uint8)
    for name, category_id in IDS.items():
        image[truth == category_id] = COLOURS[name]
    return image, truth


@pytest.mark.parametrize("matcher", ["knn", "prototype", "ranking"])
def test_every_pixel_gets_its_colour(bank: StoredBank, stack: ColourStack, matcher: str) -> None:
    image, truth = scene()
    engine = QueryEngine(bank, stack, settings(bank, f"matching.matcher={matcher}"))
    result = engine.segment(image)
    np.testing.assert_array_equal(result.label_map, truth)
    assert result.label_map.dtype == np.int32
    assert result.overlay().shape == image.shape
    assert [category.name for category in engine.categories] == ["poppy", "grass", "sea"]


def test_a_region_says_what_decided_it(bank: StoredBank, stack: ColourStack) -> None:
    image, truth = scene()
    result = QueryEngine(bank, stack, settings(bank, "matching.neighbours=3")).segment(image)
    by_name = {region.category: region for region in result.regions}
    assert set(by_name) == set(COLOURS)
    poppy = by_name["poppy"]
    assert (poppy.category_id, poppy.area, poppy.box) == (2, 16 * 32, (16, 40, 32, 16))
    np.testing.assert_array_equal(decode_rle(poppy.rle), truth == IDS["poppy"])
    assert 0.9 < poppy.similarity <= 1.0001
    assert 0.9 < poppy.score <= 1
    keys = [unpack_image_id(reference.image_id) for reference in poppy.references]
    assert {key.category_id for key in keys} == {IDS["poppy"]}
    assert sorted(key.number for key in keys) == [0, 1, 2]
    similarities = [reference.similarity for reference in poppy.references]
    assert similarities == sorted(similarities, reverse=True)
    scores = [region.score for region in result.regions]
    assert scores == sorted(scores, reverse=True)


def test_run_lengths_are_made_when_they_are_asked_for(bank: StoredBank, stack: ColourStack) -> None:
    result = QueryEngine(bank, stack, settings(bank)).segment(scene()[0])
    assert not any("rle" in vars(region.mask) for region in result.regions)
    again = pickle.loads(pickle.dumps(result.regions))
    for region, other in zip(result.regions, again, strict=True):
        plain = replace(region, mask=region.rle)
        assert region.rle is region.rle
        assert region == other == plain
        assert hash(region) == hash(other) == hash(plain)


def test_a_file_is_as_good_as_an_array(
    bank: StoredBank, stack: ColourStack, tmp_path: Path
) -> None:
    image, truth = scene()
    (tmp_path / "photo.png").write_bytes(encode_png(image))
    engine = QueryEngine(bank, stack, settings(bank))
    result = engine.segment(tmp_path / "photo.png")
    np.testing.assert_array_equal(result.label_map, truth)
    assert result.regions == engine.segment(image).regions
    written = result.save(tmp_path / "out", "photo")
    assert [path.suffix for path in written] == [".png", ".png", ".json"]


def test_pixels_under_no_mask_take_the_label_of_their_patch(
    bank: StoredBank, stack: ColourStack
) -> None:
    image, truth = scene()
    engine = QueryEngine(bank, stack, settings(bank, "proposals.min_quality=0.95"))
    result = engine.segment(image)
    assert result.regions == ()
    # Votes are interpolated between patches, which rounds the corners of the poppy.
    assert (result.label_map == truth).mean() > 0.99
    kept = QueryEngine(
        bank, stack, settings(bank, "proposals.min_quality=0.95", "matching.patch_fallback=false")
    )
    assert (kept.segment(image).label_map == UNLABELLED).all()


def test_patches_named_a_few_at_a_time_are_named_alike(
    bank: StoredBank, stack: ColourStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = scene()
    engine = QueryEngine(bank, stack, settings(bank, "proposals.min_quality=0.95"))
    whole = engine.segment(image).label_map
    monkeypatch.setattr("query.labelling._PATCHES_AT_ONCE", 7)  # of 96
    np.testing.assert_array_equal(engine.segment(image).label_map, whole)


@pytest.mark.parametrize("quality", ["0.8", "0.95"])
def test_background_is_what_resembles_nothing(
    bank: StoredBank, stack: ColourStack, quality: str
) -> None:
    """An unknown colour stays unlabelled, both as a region and as patches under no mask."""
    image, truth = scene()
    image[40:56, 16:48] = (200, 200, 10)
    truth[40:56, 16:48] = -1
    engine = QueryEngine(
        bank, stack, settings(bank, "matching.background=0.9", f"proposals.min_quality={quality}")
    )
    result = engine.segment(image)
    assert (result.label_map == truth).mean() > 0.99
    assert "poppy" not in {region.category for region in result.regions}
    always = QueryEngine(bank, stack, settings(bank)).segment(image)
    assert (always.label_map >= 0).all()


def test_only_the_chosen_categories(bank: StoredBank, stack: ColourStack) -> None:
    image, truth = scene()
    engine = QueryEngine(bank, stack, settings(bank, "matching.negatives=false"))
    result = engine.segment(image, categories=[IDS["grass"], IDS["sea"]])
    assert set(np.unique(result.label_map)) == {IDS["grass"], IDS["sea"]}
    known = truth != IDS["poppy"]
    np.testing.assert_array_equal(result.label_map[known], truth[known])


def test_what_surrounds_a_category_is_not_taken_for_it(
    bank: StoredBank, stack: ColourStack
) -> None:
    """The sea is no poppy, even if there is nothing else to choose: the poppies are at the sea."""
    image, truth = scene()
    engine = QueryEngine(bank, stack, settings(bank))
    labels = engine.segment(image, categories=[IDS["poppy"]]).label_map
    assert (labels[truth == IDS["poppy"]] == IDS["poppy"]).all()
    assert (labels[truth == IDS["sea"]] == UNLABELLED).all()


def test_a_category_with_a_small_share_of_the_photo_is_dropped(
    bank: StoredBank, stack: ColourStack
) -> None:
    image, truth = scene()
    share = float((truth == IDS["poppy"]).mean())
    for limit, kept in ((share - 0.001, True), (share + 0.001, False)):
        engine = QueryEngine(
            bank, stack, settings(bank, f"matching.filter={limit}", "matching.negatives=false")
        )
        result = engine.segment(image)
        assert (IDS["poppy"] in result.label_map) == kept
        assert ("poppy" in {region.category for region in result.regions}) == kept
        assert (result.label_map[truth == IDS["sea"]] == IDS["sea"]).all()


@pytest.mark.parametrize(("chosen", "message"), [([], "found none"), ([2, 5, 99], r"\[5, 99\]")])
def test_categories_must_be_the_banks(
    bank: StoredBank, stack: ColourStack, chosen: list[int], message: str
) -> None:
    engine = QueryEngine(bank, stack, settings(bank))
    with pytest.raises(UsageError, match=message + ".*2 poppy, 3 grass, 8 sea"):
        engine.segment(scene()[0], categories=chosen)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(
    bank: StoredBank, stack: ColourStack, image: NDArray[np.uint8]
) -> None:
    with pytest.raises(ImageError, match=r"uint8 \(H, W, 3\)"):
        QueryEngine(bank, stack, settings(bank)).segment(image)


@pytest.mark.parametrize("role", ["segmenter", "features"])
def test_other_weights_are_refused(bank: StoredBank, tmp_path: Path, role: str) -> None:
    other = ColourStack(tmp_path)
    other.path(role).write_text("other weights")
    with pytest.raises(ModelError, match=f"models.{role}: expected colour {role}"):
        QueryEngine(bank, other)


def test_features_of_another_size_are_refused(bank: StoredBank, tmp_path: Path) -> None:
    other = ColourStack(tmp_path, apply_overrides(bank.settings, ["features.size=224"]))
    with pytest.raises(BankError, match=r"features\.size: expected 518 .* found 224"):
        QueryEngine(bank, other)


def test_a_bank_that_does_not_name_its_models_is_refused(
    stack: ColourStack, tmp_path: Path
) -> None:
    bank = colour_bank(tmp_path, stack)
    manifest = bank.manifest.model_copy(update={"version": bank.manifest.version + 1, "models": {}})
    commit_manifest(tmp_path, manifest)
    with pytest.raises(BankError, match="a record of the model segmenter, found none"):
        QueryEngine(StoredBank(tmp_path), stack)


@pytest.mark.parametrize("size", [(40, 100), (100, 40), (7, 5)])
def test_with_models_of_the_real_classes(tmp_path: Path, size: tuple[int, int]) -> None:
    """Random weights know nothing, but every pixel is labelled and every region is whole."""
    torch.manual_seed(0)
    dinov2 = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=16,
        patch_size=4,
    )
    stack = ColourStack(tmp_path / "models")
    bank = colour_bank(tmp_path / "bank", stack)
    stack.segmenter = SamSegmenter(build_sam(TINY_SAM))
    stack.features = PatchFeatures(Dinov2Model(dinov2).eval(), 16)
    loose = Proposals.model_construct(
        **(Proposals().model_dump() | {"grid": 6, "min_quality": -1.0, "min_stability": 0.0})
    )
    engine = QueryEngine(bank, stack, settings(bank).model_copy(update={"proposals": loose}))
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    result = engine.segment(image)
    assert result.label_map.shape == size
    assert set(np.unique(result.label_map)) <= set(IDS.values())
    assert len(result.regions) >= 1
    for region in result.regions:
        mask = decode_rle(region.rle)
        assert mask.shape == size
        assert mask.sum() == region.area
        assert len(region.references) == 3, "as many as a category has"
    np.testing.assert_array_equal(engine.segment(image).label_map, result.label_map)
