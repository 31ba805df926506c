"""Scores of a SAM on unseen scenes: masks from one point and from a grid, and predicted IoU."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from segment_anything.modeling import Sam

from foundation.sam import SamSegmenter
from miniature.training.scenes import regions, things
from miniature.world import (
    FAMILIAR,
    FIRST_UNSEEN_SEED,
    NOVEL,
    STUFF,
    Scene,
    draw_scene,
    draw_single,
)

_POINTS = 3  # single points tried on each thing
_GOOD = 0.8


@dataclass(frozen=True)
class SamScores:
    """Scores by groups of categories, all of them means over fresh images.

    familiar, novel, stuff: IoU of the mask that SAM rates best, from one point inside a region.
    familiar_best_of_three, novel_best_of_three: IoU of the best of its three masks. found: share of
    things with a grid proposal of IoU >= 0.8. correlation: of predicted with true IoU.
    single_familiar, single_novel: IoU from four points on a single image 64 pixels wide.
    """

    familiar: float
    novel: float
    stuff: float
    familiar_best_of_three: float
    novel_best_of_three: float
    found: float
    correlation: float
    single_familiar: float
    single_novel: float

    def line(self) -> str:
        return " ".join(f"{name} {value:.3f}" for name, value in self.as_dict().items())

    def as_dict(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


def score_sam(
    sam: Sam, *, scenes: int = 60, grid: int = 12, seed: int = FIRST_UNSEEN_SEED
) -> SamScores:
    """Scores a SAM on fresh scenes (128 pixels, `grid` points a side) and single images (64)."""
    segmenter = SamSegmenter(sam)
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, float, float, float]] = []  # group, own choice, best, predicted
    found: list[bool] = []
    for number in range(scenes):
        scene = draw_scene(seed + number)
        rows += _score_points(segmenter, scene, rng)
        found += _score_grid(segmenter, scene, grid)
    singles = {
        group: np.mean(
            [_score_single(segmenter, seed + i, name, rng) for name in group for i in range(8)]
        )
        for group in (FAMILIAR, NOVEL)
    }

    def mean(group: str, column: int) -> float:
        values = [float(row[column]) for row in rows if row[0] == group]
        return float(np.mean(values)) if values else 0.0

    of_things = np.array([(row[1], row[3]) for row in rows if row[0] != "stuff"])
    correlation = np.corrcoef(of_things.T)[0, 1] if len(of_things) > 2 else 0.0
    return SamScores(
        familiar=mean("familiar", 1),
        novel=mean("novel", 1),
        stuff=mean("stuff", 1),
        familiar_best_of_three=mean("familiar", 2),
        novel_best_of_three=mean("novel", 2),
        found=float(np.mean(found)),
        correlation=float(correlation),
        single_familiar=float(singles[FAMILIAR]),
        single_novel=float(singles[NOVEL]),
    )


def _group(category: str) -> str:
    if category in STUFF:
        return "stuff"
    return "novel" if category in NOVEL else "familiar"


def _points_inside(
    mask: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    ys, xs = np.nonzero(mask)
    chosen = rng.integers(0, len(ys), count)
    return np.stack([xs[chosen], ys[chosen]], 1).astype(np.float64)


def _ious(masks: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    both = (masks & truth).sum((-2, -1))
    return np.asarray(both / np.maximum((masks | truth).sum((-2, -1)), 1), np.float64)


def _score_points(
    segmenter: SamSegmenter, scene: Scene, rng: np.random.Generator
) -> list[tuple[str, float, float, float]]:
    embedding = segmenter.embed(scene.image)
    wanted = regions(scene)
    points = np.concatenate([_points_inside(one.mask, _POINTS, rng) for one in wanted])
    found = segmenter.predict(embedding, points[:, None])
    quality = found.predicted_iou.cpu().numpy()
    masks = segmenter.upsample(embedding, found.logits.flatten(0, 1))
    masks = masks.reshape(*quality.shape, *masks.shape[1:])
    rows = []
    for i, one in enumerate(wanted):
        for j in range(i * _POINTS, (i + 1) * _POINTS):
            ious, own = _ious(masks[j], one.mask), int(quality[j].argmax())
            rows.append(
                (_group(one.category), float(ious[own]), float(ious.max()), float(quality[j, own]))
            )
    return rows


def _score_grid(segmenter: SamSegmenter, scene: Scene, grid: int) -> list[bool]:
    """Whether each thing has a proposal of high IoU among all masks of a grid of points."""
    height, width = scene.labels.shape
    ys, xs = ((np.arange(grid) + 0.5) * side / grid - 0.5 for side in (height, width))
    points = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 1, 2)
    embedding = segmenter.embed(scene.image)
    found = segmenter.predict(embedding, points)
    masks = segmenter.upsample(embedding, found.logits.flatten(0, 1))
    return [bool(_ious(masks, thing.mask).max() >= _GOOD) for thing in things(scene)]


def _score_single(
    segmenter: SamSegmenter, seed: int, category: str, rng: np.random.Generator
) -> float:
    """IoU of the best-rated mask from four points, as a bank is built."""
    scene = draw_single(seed, category)
    truth = scene.instances[0].mask
    embedding = segmenter.embed(scene.image)
    found = segmenter.predict(embedding, _points_inside(truth, 4, rng)[None])
    best = int(found.predicted_iou[0].argmax())
    masks = segmenter.upsample(embedding, found.logits[0, best : best + 1])
    return float(_ious(masks, truth)[0])
