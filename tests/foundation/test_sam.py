"""Masks of point prompts, equal to those of segment-anything's own predictor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from foundation import sam as sam_module
from foundation.sam import SamSegmenter
from schemas.errors import ImageError, UsageError

RANDOM = np.random.default_rng(0)
SIZES = [(100, 100), (90, 160), (200, 75), (128, 128), (37, 53), (300, 301)]


def picture(size: tuple[int, int]) -> np.ndarray:
    return RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)


def random_points(size: tuple[int, int], prompts: int, each: int) -> np.ndarray:
    return RANDOM.integers(0, (size[1], size[0]), (prompts, each, 2), dtype=np.int32)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("each", [1, 4], ids=["single points", "four points a prompt"])
def test_masks_are_the_predictors_own(sam: Sam, size: tuple[int, int], each: int) -> None:
    image, points = picture(size), random_points(size, 5, each)
    segmenter = SamSegmenter(sam)
    embedding = segmenter.embed(image)
    candidates = segmenter.predict(embedding, points)
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    seen = set()
    for prompt, logits, scores in zip(
        points, candidates.logits, candidates.predicted_iou, strict=True
    ):
        masks, expected_scores, _ = predictor.predict(prompt, np.ones(each, int))
        # Prompts are batched here: rounding may flip a pixel whose logit is 0 to six digits.
        assert (segmenter.upsample(embedding, logits) != masks).sum() <= 2
        np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
        seen |= set(np.unique(masks))
    assert seen == {False, True}  # masks of one value would prove nothing


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_logits_are_the_predictors_without_the_padding(sam: Sam, size: tuple[int, int]) -> None:
    image, points = picture(size), random_points(size, 1, 2)
    segmenter = SamSegmenter(sam)
    embedding = segmenter.embed(image)
    logits = segmenter.predict(embedding, points).logits[0]
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    _, _, full = predictor.predict(points[0], np.ones(2, int))
    rows, columns = logits.shape[1:]
    np.testing.assert_allclose(logits, full[:, :rows, :columns], atol=1e-5)
    for side, kept, whole in zip(embedding.logit_size, (rows, columns), (32, 32), strict=True):
        assert kept == min(side + 1, whole)
    assert embedding.logit_size == tuple(-(-side // 4) for side in embedding.input_size)


def test_prompts_are_independent_of_their_batch(sam: Sam) -> None:
    embedding = SamSegmenter(sam).embed(picture((80, 120)))
    points = random_points((80, 120), 7, 1)
    whole = SamSegmenter(sam, points_per_batch=64).predict(embedding, points)
    parts = SamSegmenter(sam, points_per_batch=3).predict(embedding, points)
    assert whole.logits.shape[0] == parts.logits.shape[0] == 7
    torch.testing.assert_close(whole.logits, parts.logits)
    torch.testing.assert_close(whole.predicted_iou, parts.predicted_iou)


def test_upsampling_in_small_parts_changes_nothing(
    sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = SamSegmenter(sam)
    embedding = segmenter.embed(picture((150, 130)))
    logits = segmenter.predict(embedding, random_points((150, 130), 3, 1)).logits.flatten(0, 1)
    at_once = segmenter.upsample(embedding, logits)
    monkeypatch.setattr(sam_module, "_PIXELS_AT_ONCE", 2 * 150 * 130)
    np.testing.assert_array_equal(segmenter.upsample(embedding, logits), at_once)
    assert segmenter.upsample(embedding, logits[:0]).shape == (0, 150, 130)


@pytest.mark.parametrize("size", [*SIZES, (700, 1), (1000, 999)], ids=str)
def test_working_logits_hold_all_there_is_to_know(sam: Sam, size: tuple[int, int]) -> None:
    """Resized to the image they are its masks; they are no larger than what SAM saw."""
    segmenter = SamSegmenter(sam)
    embedding = segmenter.embed(picture(size))
    logits = segmenter.predict(embedding, random_points(size, 2, 1)).logits.flatten(0, 1)
    working = segmenter.working_logits(embedding, logits)
    assert working.shape == (6, *embedding.working_size)
    assert embedding.working_size == (size if max(size) <= 128 else embedding.input_size)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(working)[None], size, mode="bilinear", align_corners=False
    )[0]
    np.testing.assert_array_equal(resized > 0, segmenter.upsample(embedding, logits))
    assert segmenter.working_logits(embedding, logits[:0]).shape == (0, *embedding.working_size)


def test_no_prompts_no_masks(sam: Sam) -> None:
    segmenter = SamSegmenter(sam)
    embedding = segmenter.embed(picture((64, 64)))
    candidates = segmenter.predict(embedding, np.zeros((0, 1, 2), np.float32))
    assert candidates.logits.shape[:2] == (0, 3)
    assert candidates.predicted_iou.shape == (0, 3)


def test_a_strip_one_pixel_high_is_segmented(sam: Sam) -> None:
    segmenter = SamSegmenter(sam)
    embedding = segmenter.embed(picture((1, 700)))
    logits = segmenter.predict(embedding, np.array([[[350, 0]]])).logits[0]
    assert segmenter.upsample(embedding, logits).shape == (3, 1, 700)


def test_wrong_arrays_are_refused(sam: Sam) -> None:
    segmenter = SamSegmenter(sam)
    with pytest.raises(ImageError, match=r"found float64 \(8, 8, 3\)"):
        segmenter.embed(np.zeros((8, 8, 3)))
    with pytest.raises(ImageError, match=r"\(8, 8, 4\)"):
        segmenter.embed(np.zeros((8, 8, 4), np.uint8))
    embedding = segmenter.embed(picture((64, 64)))
    for shape in [(4, 2), (1, 0, 2), (1, 2, 3)]:
        with pytest.raises(UsageError, match="expected points"):
            segmenter.predict(embedding, np.zeros(shape))
