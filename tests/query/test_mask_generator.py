"""Proposals against `SamAutomaticMaskGenerator`: the same masks with the same scores.

Three things differ by design: our points are half a pixel nearer to the corner (a pixel's centre
is a whole number), stability is told at SAM's low resolution, and duplicates by masks, not boxes.
Of the trained miniature SAM, whose masks mean something.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from foundation.sam_checkpoint import build_sam
from foundation.stack import ModelStack
from miniature.world import FIRST_UNSEEN_SEED, draw_scene
from query.proposals import point_grid, propose
from schemas.settings import SamArchitecture, load_settings

GRID = 6


@dataclass(frozen=True)
class Masks:
    """bool (n, H, W), and the scores (n,) of each mask, best quality first."""

    masks: NDArray[np.bool_]
    quality: NDArray[np.float64]
    stability: NDArray[np.float64]


@pytest.fixture(scope="module")
def stack() -> ModelStack:
    return ModelStack(load_settings("miniature"), device="cpu")


@pytest.fixture(scope="module")
def sam(stack: ModelStack) -> Sam:
    """The miniature's trained weights in segment-anything's own classes."""
    architecture = stack.settings.models.segmenter.architecture
    assert isinstance(architecture, SamArchitecture)
    model = build_sam(architecture)
    model.load_state_dict(torch.load(stack.path("segmenter"), weights_only=True))
    return model


@pytest.fixture(scope="module", params=[(128, 128), (200, 150)], ids=["square", "upright"])
def photo(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    height, width = request.param
    scenes = [draw_scene(FIRST_UNSEEN_SEED + i).image for i in range(4)]
    four = np.vstack([np.hstack(scenes[:2]), np.hstack(scenes[2:])])
    return np.ascontiguousarray(four[:height, :width])


def ours(stack: ModelStack, photo: NDArray[np.uint8], **chosen: float) -> Masks:
    proposals = stack.settings.proposals.model_copy(update={"grid": GRID, "min_area": 0.0} | chosen)
    segmenter = stack.segmenter
    embedding = segmenter.embed(photo)
    found = propose(segmenter, embedding, proposals)
    masks = segmenter.upsample(
        embedding, found.united_logits([(i,) for i in range(len(found.masks))])
    )
    return Masks(masks, found.quality.astype(float), found.stability.astype(float))


def theirs(
    sam: Sam, photo: NDArray[np.uint8], *, own_points: bool = False, **chosen: float
) -> Masks:
    size = (photo.shape[0], photo.shape[1])
    points = {"points_per_side": GRID}
    if not own_points:
        points = {"points_per_side": None, "point_grids": [point_grid(GRID, size) / size[::-1]]}
    found = SamAutomaticMaskGenerator(sam, points_per_batch=16, **points, **chosen).generate(photo)
    found = [one for one in found if one["area"]]
    found.sort(key=lambda one: -one["predicted_iou"])
    return Masks(
        np.array([one["segmentation"] for one in found]),
        np.array([one["predicted_iou"] for one in found]),
        np.array([one["stability_score"] for one in found]),
    )


def overlaps(first: Masks, second: Masks) -> NDArray[np.float64]:
    """(n, m) IoU."""
    one, other = (
        masks.masks.reshape(len(masks.masks), -1).astype(float) for masks in (first, second)
    )
    shared = one @ other.T
    return shared / (one.sum(1)[:, None] + other.sum(1) - shared)


def test_the_same_masks_with_the_same_scores(
    stack: ModelStack, sam: Sam, photo: NDArray[np.uint8]
) -> None:
    everything = ours(stack, photo, min_quality=0.0, min_stability=0.0, nms=1.0)
    # Halfway between two masks: rounding cannot decide.
    place = int(0.7 * len(everything.quality))
    least = float(everything.quality[place : place + 2].mean())
    found = ours(stack, photo, min_quality=least, min_stability=0.0, nms=1.0)
    expected = theirs(
        sam, photo, pred_iou_thresh=least, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    assert len(found.masks) == len(expected.masks) == place + 1 > 50
    np.testing.assert_allclose(found.quality, expected.quality, atol=1e-4)
    # Logits are held in half precision: a pixel on the edge may fall on either side.
    overlap = np.diag(overlaps(found, expected))
    assert np.sort(overlap)[3] > 0.999  # two of the same quality may have changed places
    assert overlaps(found, expected).max(axis=1).min() > 0.99
    # 64 x 64 logits instead of all pixels.
    difference = np.abs(found.stability - expected.stability)[overlap > 0.99]
    assert difference.mean() < 0.03
    assert difference.max() < 0.15


def test_all_that_the_generator_finds_is_found(
    stack: ModelStack, sam: Sam, photo: NDArray[np.uint8]
) -> None:
    """With its own points and the preset's thresholds; duplicates are another mask of the same."""
    chosen = stack.settings.proposals
    expected = theirs(
        sam,
        photo,
        own_points=True,
        pred_iou_thresh=chosen.min_quality,
        stability_score_thresh=chosen.min_stability,
        stability_score_offset=chosen.stability_offset,
        box_nms_thresh=chosen.nms,
    )
    found = ours(stack, photo)
    assert len(expected.masks) > 3
    assert abs(len(found.masks) - len(expected.masks)) <= 0.5 * len(expected.masks)
    best = overlaps(found, expected).max(axis=0)
    assert best.min() > 0.7
    assert best.mean() > 0.9
