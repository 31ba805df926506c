"""SAM's gates, scored by `miniature.training.sam_scores`, and a sheet of scenes with masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from segment_anything.modeling import Sam

from benchmarks.gate import Gate, Measured
from benchmarks.gates.sheet import (
    Colour,
    Tile,
    TileRow,
    draw_sheet,
    enlarged,
    with_dot,
    with_outline,
)
from foundation.images.masks import mask_iou
from foundation.sam import SamSegmenter
from miniature.training.sam_scores import score_sam
from miniature.training.scenes import SceneRegion, things
from miniature.world import FIRST_UNSEEN_SEED, draw_scene

_SHEET_SEED = FIRST_UNSEEN_SEED + 5_000
_SHOWN_SIDE = 256
_SHOWN_ROWS, _SHOWN_COLUMNS = 3, 2
_TINT = 0.7
_PALE = 0.65  # how far what lies under no mask is faded to white
_COLOURS: tuple[Colour, ...] = (
    (214, 39, 140),
    (23, 140, 207),
    (242, 142, 28),
    (88, 160, 44),
    (118, 78, 198),
)  # one a thing: a scene has at most five


def sam_gates(sam: Sam, *, scenes: int = 100, grid: int = 16) -> Measured:
    """Measures all gates of SAM; grid: proposal points a side."""
    scores = score_sam(sam, scenes=scenes, grid=grid)
    gates = (
        Gate("sam", "IoU of own choice, familiar", scores.familiar, 0.80),
        Gate("sam", "IoU of own choice, novel", scores.novel, 0.70),
        Gate("sam", "found by the grid", scores.found, 0.90),
        Gate("sam", "predicted with true IoU, correlation", scores.correlation, 0.6),
    )
    return Measured(gates, {"scores": scores.as_dict()})


def own_choice(
    segmenter: SamSegmenter, image: NDArray[np.uint8], points: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """The mask that SAM itself rates best, (n, H, W), for each of `points` (n, 2) as (x, y)."""
    embedding = segmenter.embed(image)
    found = segmenter.predict(embedding, points[:, None])
    best = found.predicted_iou.argmax(1)
    logits = found.logits[np.arange(len(points)), best.cpu().numpy()]
    return segmenter.upsample(embedding, logits)


def sam_sheet(segmenter: SamSegmenter) -> Image.Image:
    """Draws scenes, each beside itself with one mask a thing: point, mask and the true outline."""
    rng = np.random.default_rng(_SHEET_SEED)
    tiles = [_tiles(segmenter, _SHEET_SEED + i, rng) for i in range(_SHOWN_ROWS * _SHOWN_COLUMNS)]
    columns = [
        [TileRow(pair) for pair in tiles[i * _SHOWN_ROWS : (i + 1) * _SHOWN_ROWS]]
        for i in range(_SHOWN_COLUMNS)
    ]
    title = "SAM: the mask it rates best, from one point (white line: the truth)"
    return draw_sheet(title, columns)


def _tiles(segmenter: SamSegmenter, seed: int, rng: np.random.Generator) -> list[Tile]:
    scene = draw_scene(seed)
    wanted = things(scene)
    points = np.stack([_point_inside(one, rng) for one in wanted])
    masks = own_choice(segmenter, scene.image, points)
    large = enlarged(scene.image, _SHOWN_SIDE)
    factor = _SHOWN_SIDE // scene.image.shape[0]
    drawn = large.mean(2, keepdims=True).repeat(3, 2) * (1 - _PALE) + 255 * _PALE
    for number, mask in enumerate(masks):
        where = mask.repeat(factor, 0).repeat(factor, 1)
        drawn[where] = (1 - _TINT) * large[where] + _TINT * np.array(_COLOURS[number])
    shown = drawn.astype(np.uint8)
    for one in wanted:
        shown = with_outline(shown, one.mask)
    for number, (x, y) in enumerate((points + 0.5) * factor):
        shown = with_dot(shown, x, y, _COLOURS[number])
    ious = [mask_iou(mask, one.mask) for mask, one in zip(masks, wanted, strict=True)]
    names = ", ".join(one.category for one in wanted)
    return [Tile(large, names), Tile(shown, f"IoU {', '.join(f'{iou:.2f}' for iou in ious)}")]


def _point_inside(one: SceneRegion, rng: np.random.Generator) -> NDArray[np.float64]:
    ys, xs = np.nonzero(one.mask)
    selected = int(rng.integers(len(ys)))
    return np.array([xs[selected], ys[selected]], np.float64)
