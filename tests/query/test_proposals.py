"""Proposals: good masks and no duplicates, by segment-anything's own measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from segment_anything.utils import amg

from foundation.interfaces import ImageEmbedding, MaskCandidates
from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import build_sam
from query import proposals
from query.proposals import mask_nms, point_grid, propose, stability_score
from schemas.settings import Proposals, SamArchitecture

TINY_SAM = SamArchitecture(
    image_size=128,
    patch_size=16,
    embed_dim=32,
    depth=2,
    num_heads=2,
    global_attn_indexes=(1,),
    window_size=4,
    out_chans=32,
    decoder_heads=2,
    decoder_mlp=64,
)


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    return build_sam(TINY_SAM)


def photo(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_grid_is_segment_anythings_seen_from_pixel_centres() -> None:
    expected = amg.build_point_grid(5) * np.array([30, 20]) - 0.5
    np.testing.assert_allclose(point_grid(5, (20, 30)), expected)


@given(arrays(np.float32, (4, 3, 3), elements=st.floats(-3, 3, width=32)))
def test_stability_is_segment_anythings(logits: NDArray[np.float32]) -> None:
    logits[:, 0, 0] = 0  # theirs is NaN where both cuts are empty
    tensor = torch.from_numpy(logits)
    torch.testing.assert_close(
        stability_score(tensor, 1.0), amg.calculate_stability_score(tensor, 0.0, 1.0)
    )


def test_stability_of_nothing_is_zero() -> None:
    assert stability_score(torch.full((1, 2, 2), -9.0), 1.0).tolist() == [0.0]


def between(values: torch.Tensor) -> float:
    """A threshold near the middle, halfway between two values: rounding cannot decide."""
    ordered = values.double().unique()
    middle = len(ordered) // 2
    return float(ordered[middle - 1 : middle + 1].mean())


def test_filters_are_segment_anythings_at_low_resolution(sam: Sam) -> None:
    """The same masks pass as with amg's own steps on the same predictor's logits."""
    image = photo(128, 128)
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    points = torch.from_numpy(point_grid(6, (128, 128)))[:, None].float()
    _, iou, logits = predictor.predict_torch(points, torch.ones(36, 1), multimask_output=True)
    data = amg.MaskData(logits=logits.flatten(0, 1), iou=iou.flatten())
    least = between(data["iou"])
    data.filter(data["iou"] > least)
    stability = amg.calculate_stability_score(data["logits"], 0.0, 0.001)
    stable = between(stability)
    data.filter(stability >= stable)
    order = data["iou"].argsort(descending=True, stable=True)

    segmenter = SamSegmenter(sam)
    found = propose(
        segmenter,
        segmenter.embed(image),
        Proposals.model_construct(
            grid=6,
            min_quality=least,
            min_stability=stable,
            stability_offset=0.001,
            nms=1.0,
            min_area=0.0,
            points_per_batch=7,
        ),
    )
    assert 10 < len(found.quality) < 36 * 3
    np.testing.assert_allclose(found.quality, data["iou"][order], atol=1e-6)
    np.testing.assert_allclose(
        found.logits.float().numpy(), data["logits"][order].numpy(), rtol=1e-3, atol=1e-3
    )


def test_a_wide_photo_comes_without_sams_padding(sam: Sam) -> None:
    segmenter = SamSegmenter(sam)
    embedding = segmenter.embed(photo(40, 100))
    found = propose(
        segmenter, embedding, Proposals.model_construct(None, **(_LOOSE | {"min_quality": -9.0}))
    )
    assert found.masks.shape[1:] == embedding.logit_size == (13, 32)
    assert found.masks.any(axis=(1, 2)).all()
    united = found.united_logits([(0,), (0, 1)])
    np.testing.assert_array_equal(united[1, :13, :32].numpy() > 0, found.masks[0] | found.masks[1])
    assert segmenter.working_logits(embedding, united).shape == (2, 40, 100)
    assert found.united_logits([]).shape == (0, 14, 32)


_LOOSE: dict[str, Any] = {
    "grid": 4,
    "min_stability": 0.0,
    "stability_offset": 1.0,
    "nms": 1.0,
    "min_area": 0.0,
    "points_per_batch": 64,
}


@dataclass
class Scripted:
    """Answers the point in column x and row y of the grid with what `script` says."""

    script: Callable[[int], list[tuple[NDArray[np.float32], float]]]
    batches: list[int] = field(default_factory=list)
    asked: int = 0

    def predict(self, embedding: ImageEmbedding, points: NDArray[np.number]) -> MaskCandidates:
        self.batches.append(len(points))
        answers = [self.script(self.asked + i) for i in range(len(points))]
        self.asked += len(points)
        return MaskCandidates(
            torch.tensor(np.array([[logits for logits, _ in a] for a in answers])),
            torch.tensor(np.array([[quality for _, quality in a] for a in answers])),
        )


SIZE = 20
EMBEDDING = ImageEmbedding(torch.zeros(1), (200, 200), (200, 200), (SIZE, SIZE))


def mask(rows: slice, columns: slice, sure: float = 5.0) -> NDArray[np.float32]:
    """Logits of a rectangle, with one row and column of padding."""
    logits = np.full((SIZE + 1, SIZE + 1), -5.0, np.float32)
    logits[rows, columns] = sure
    return logits


NOTHING = (mask(slice(0), slice(0)), 0.99)
PADDING = (mask(slice(SIZE, None), slice(None)), 0.99)
SPECK = (mask(slice(3, 4), slice(3, 5)), 0.99)
LEFT = (mask(slice(0, 20), slice(0, 10)), 0.9)
NEARLY_LEFT = (mask(slice(0, 19), slice(0, 10)), 0.95)
RIGHT = (mask(slice(0, 20), slice(10, 20)), 0.85)
BAD = (mask(slice(0, 10), slice(0, 20)), 0.5)
WAVERING = (mask(slice(10, 20), slice(0, 20), sure=0.5), 0.97)


def test_empty_tiny_bad_unstable_and_double_masks_are_dropped() -> None:
    answers = [[NOTHING, LEFT, BAD], [RIGHT, SPECK, WAVERING], [PADDING, NEARLY_LEFT, LEFT]]
    segmenter = Scripted(lambda prompt: answers[prompt % 3])
    chosen = Proposals(grid=3, min_area=0.01, points_per_batch=4)
    found = propose(segmenter, EMBEDDING, chosen)
    assert found.quality.tolist() == pytest.approx([0.95, 0.85])
    np.testing.assert_array_equal(found.masks[0], NEARLY_LEFT[0][:SIZE, :SIZE] > 0)
    np.testing.assert_array_equal(found.masks[1], RIGHT[0][:SIZE, :SIZE] > 0)
    assert found.logits.shape == (2, SIZE + 1, SIZE + 1)
    assert found.stability.tolist() == [1, 1]
    assert segmenter.batches == [4, 4, 1], "prompts go in batches"


def test_nothing_good_is_an_empty_answer() -> None:
    segmenter = Scripted(lambda prompt: [NOTHING, BAD, SPECK])
    found = propose(segmenter, EMBEDDING, Proposals(grid=2, min_area=0.01))
    assert found.masks.shape == (0, SIZE, SIZE)
    assert len(found.quality) == len(found.logits) == 0


def test_huge_logits_survive_half_precision() -> None:
    huge = (LEFT[0] * 1e6, 0.9)
    found = propose(Scripted(lambda prompt: [huge, NOTHING, NOTHING]), EMBEDDING, Proposals(grid=1))
    assert torch.isfinite(found.logits).all()
    np.testing.assert_array_equal(found.masks[0], LEFT[0][:SIZE, :SIZE] > 0)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 14).flatmap(
        lambda n: st.tuples(arrays(np.bool_, (n, 3, 3)), st.permutations(range(n)))
    ),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    st.sampled_from([1, 3, 64]),
)
def test_nms_is_greedy(
    masks_and_order: tuple[NDArray[np.bool_], list[int]], threshold: float, block: int
) -> None:
    masks, order = masks_and_order
    masks[:, 0, 0] = True  # none empty
    kept: list[int] = []
    for i in order:
        if all(
            (masks[i] & masks[k]).sum() / (masks[i] | masks[k]).sum() <= threshold for k in kept
        ):
            kept.append(i)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proposals, "_NMS_BLOCK", block)
        patch.setattr(proposals, "_PIXELS_AT_ONCE", 2 * 9)
        found = mask_nms(torch.from_numpy(masks), torch.tensor(order), threshold)
    assert found.tolist() == kept
