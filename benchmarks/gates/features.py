"""The features' gates, scored by `miniature.training.features_scores`, and a sheet of scenes."""

from __future__ import annotations

from itertools import count, islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from transformers import Dinov2Model

from benchmarks.gate import Gate, Measured
from benchmarks.gates.sheet import (
    RIGHT,
    WRONG,
    Tile,
    TileRow,
    draw_sheet,
    enlarged,
    with_name,
    with_outline,
)
from foundation.images.pooling import pool_regions
from foundation.interfaces import PatchExtractor
from miniature.training.features_scores import score_features
from miniature.training.scenes import SceneRegion, regions
from miniature.world import CATEGORIES, FIRST_UNSEEN_SEED, Scene, draw_scene, draw_single

_SHEET_SEED = FIRST_UNSEEN_SEED + 6_000
_REFERENCES = 10  # a category
_SHOWN_SCENES = 4
_LEAST_REGIONS, _SHOWN_REGIONS = 5, 6
_SCENE_SIDE, _REFERENCE_SIDE = 256, 128


def features_gates(model: Dinov2Model, *, scenes: int = 100) -> Measured:
    """Measures all gates of the features, and the shares by category."""
    scores = score_features(model, scenes=scenes)
    gates = (
        Gate("features", "accuracy on true regions, familiar", scores.familiar, 0.95),
        Gate("features", "accuracy on true regions, novel", scores.novel, 0.85),
        Gate("features", "accuracy on true regions, stuff", scores.stuff),
    )
    return Measured(gates, {"accuracy on true regions": scores.per_category})


def features_sheet(extractor: PatchExtractor) -> Image.Image:
    """Draws scenes with their true regions, their categories, and the references that decided."""
    seeds = range(_SHEET_SEED, _SHEET_SEED + _REFERENCES)
    singles = [(name, draw_single(seed, name)) for name in CATEGORIES for seed in seeds]
    keys = np.concatenate(
        [_pooled(extractor, one, [one.labels == CATEGORIES.index(name)]) for name, one in singles]
    )
    scenes = (draw_scene(_SHEET_SEED + number) for number in count())
    rich = (scene for scene in scenes if len(regions(scene)) >= _LEAST_REGIONS)
    rows = []
    for scene in islice(rich, _SHOWN_SCENES):
        # Things before stuff: there is not room for all.
        wanted = regions(scene)[::-1][:_SHOWN_REGIONS]
        found = _pooled(extractor, scene, [one.mask for one in wanted])
        nearest = [singles[i] for i in (found @ keys.T).argmax(1).tolist()]
        rows.append(_row(scene, wanted, nearest))
    title = "Features: true regions classified by their nearest reference (red: wrong)"
    return draw_sheet(title, [rows])


def _pooled(
    extractor: PatchExtractor, scene: Scene, masks: list[NDArray[np.bool_]]
) -> NDArray[np.float32]:
    """L2-normalised features (n, d) of a scene's masks, pooled as the pipeline does."""
    return pool_regions(extractor.extract([scene.image])[0], np.stack(masks))[0]


def _row(scene: Scene, wanted: list[SceneRegion], nearest: list[tuple[str, Scene]]) -> TileRow:
    factor = _SCENE_SIDE // scene.image.shape[0]
    drawn = enlarged(scene.image, _SCENE_SIDE)
    for one in wanted:
        drawn = with_outline(drawn, one.mask)
    tiles = []
    for one, (name, reference) in zip(wanted, nearest, strict=True):
        colour = RIGHT if name == one.category else WRONG
        y, x = _middle(one)
        drawn = with_name(drawn, name, (x + 0.5) * factor, (y + 0.5) * factor, colour)
        caption = name if name == one.category else f"{name}, not {one.category}"
        tiles.append(Tile(enlarged(reference.image, _REFERENCE_SIDE), caption, colour))
    return TileRow([Tile(drawn), *tiles])


def _middle(one: SceneRegion) -> tuple[int, int]:
    """The (row, column) of a region that is farthest from its edge."""
    depth = ndimage.distance_transform_edt(np.pad(one.mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)
