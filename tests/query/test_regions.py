"""Photos larger than SAM sees them, labelled, against all of it done at the photo's size."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.speed.matchers import synthetic_bank
from benchmarks.speed.photo_size import label_at_photo_size
from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import build_sam
from query.classification import Classifier
from query.labelling import PhotoLabeller
from query.regions import find_regions
from query.text_similarity import TextSimilarity
from schemas.records import CategoryRecord
from schemas.sections import Generation, Matching
from tests.query.enlarged import smooth_logits
from tests.query.test_proposals import TINY_SAM

DIMENSION = 32
BANK, DIRECTIONS = synthetic_bank(12, 6, DIMENSION)
# SAM sees 128 pixels of the longer side, and its logits are 32 x 32.
SIZES = [(90, 128), (128, 97), (20, 30), (1, 128), (129, 100), (600, 800), (37, 1999), (1500, 3)]


@pytest.fixture(scope="module")
def segmenter() -> SamSegmenter:
    return SamSegmenter(build_sam(TINY_SAM))


def tokens(grid: tuple[int, int]) -> NDArray[np.float32]:
    """The directions of the bank side by side, each of some patches, and noise."""
    random = np.random.default_rng(2)
    y, x = (np.arange(side) * of // side for side, of in zip(grid, (3, 4), strict=True))
    chosen = DIRECTIONS[y[:, None] * 4 + x]
    return chosen + random.standard_normal(chosen.shape).astype(np.float32) / 4


def logits_of(kind: str, size: tuple[int, int]) -> torch.Tensor:
    if kind == "none":
        return torch.zeros(0, *size)
    if kind == "full":
        return torch.ones(1, *size)
    count = 1 if kind == "one" else 20
    logits = smooth_logits(len(kind), count, size, sigma=4)
    logits -= np.quantile(logits, 0.85, axis=(1, 2), keepdims=True) - 1e-3
    return torch.from_numpy(logits)


def compare(segmenter: SamSegmenter, size: tuple[int, int], kind: str, matching: Matching) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    embedding = segmenter.embed(image)
    rows, columns = embedding.logit_size
    logits = logits_of(kind, (min(32, rows + 1), min(32, columns + 1)))
    scale = 16 / min(size)
    of_patches = tokens(tuple(max(1, min(60, round(side * scale))) for side in size))  # type: ignore[arg-type]
    labeller = PhotoLabeller(Classifier(BANK, matching), matching)
    photo = find_regions(logits, segmenter, embedding, image, of_patches)
    _, labels = labeller.label(photo)
    expected = label_at_photo_size(
        segmenter, embedding, logits, of_patches, labeller.classifier, matching
    )
    masks = [region.mask for region in photo.regions]
    assert tuple(mask.rle for mask in masks) == expected.masks
    assert tuple(mask.box for mask in masks) == expected.boxes
    np.testing.assert_allclose(photo.features, expected.features, atol=1e-4)
    np.testing.assert_array_equal(labels, expected.labels)
    if min(size) > 90 and kind in ("none", "many"):
        assert len(np.unique(labels)) > 3, "labels that are all the same would prove nothing"
    if max(size) <= 128:
        np.testing.assert_array_equal(photo.features, expected.features)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["none", "one", "full", "many"])
def test_labels_and_regions_are_those_at_the_photos_size(
    segmenter: SamSegmenter, size: tuple[int, int], kind: str
) -> None:
    compare(segmenter, size, kind, Matching(background=None))


@pytest.mark.parametrize(
    "change",
    [{"overlap": "best"}, {"patch_fallback": False}, {"background": 0.6}, {"matcher": "prototype"}],
    ids=str,
)
def test_also_with_other_settings(segmenter: SamSegmenter, change: dict[str, object]) -> None:
    compare(segmenter, (300, 401), "many", Matching(**({"background": None} | change)))


def test_logits_a_few_at_a_time_change_nothing(
    segmenter: SamSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("query.regions._PIXELS_AT_ONCE", 1)
    monkeypatch.setattr("query.region_features._POOLED_AT_ONCE", 1)
    monkeypatch.setattr("query.enlargement._VALUES_AT_ONCE", 1000)
    compare(segmenter, (300, 401), "many", Matching(background=None))


def test_categories_of_a_small_share_are_dropped_from_a_large_photo(
    segmenter: SamSegmenter,
) -> None:
    size = (300, 401)
    image = np.zeros((*size, 3), np.uint8)
    embedding = segmenter.embed(image)
    logits = logits_of("many", (25, 32))
    photo = find_regions(logits, segmenter, embedding, image, tokens((16, 21)))
    plain = Matching(background=None)
    _, before = PhotoLabeller(Classifier(BANK, plain), plain).label(photo)
    filtered = plain.model_copy(update={"filter": 0.05})
    _, after = PhotoLabeller(Classifier(BANK, filtered), filtered).label(photo)
    large = {one for one in np.unique(before) if (before == one).mean() >= 0.05}
    assert set(np.unique(after)) <= large < set(np.unique(before))


def test_regions_of_text_are_embedded_a_few_at_a_time(
    segmenter: SamSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large regions are never all in memory; what is embedded is the same."""
    size = (300, 401)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    embedding = segmenter.embed(image)
    photo = find_regions(logits_of("many", (25, 32)), segmenter, embedding, image, tokens((4, 5)))
    groups: list[int] = []

    def embed_images(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        groups.append(len(images))
        return np.array([one.mean(axis=(0, 1)) for one in images], np.float32).reshape(-1, 3)

    scorer = SimpleNamespace(
        embed_images=embed_images,
        embed_texts=lambda texts: np.eye(len(texts), 3, dtype=np.float32),
    )
    records = [CategoryRecord(category_id=i, name=f"thing {i}") for i in range(12)]
    text = TextSimilarity(scorer, records, Generation())  # type: ignore[arg-type]
    settings = Matching(background=None, text_weight=0.5)
    labeller = PhotoLabeller(Classifier(BANK, settings), settings, text)
    _, whole = labeller.label(photo)
    assert groups == [len(photo.regions)]
    monkeypatch.setattr("query.text_similarity._PIXELS_AT_ONCE", 100_000)
    _, again = labeller.label(photo)
    assert len(groups) > 3
    assert sum(groups[1:]) == len(photo.regions)
    np.testing.assert_array_equal(again, whole)
