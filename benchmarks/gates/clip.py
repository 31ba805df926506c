"""CLIP's gates: the share of images and crops whose nearest plain caption is the right one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.gate import Gate, Measured, shares
from benchmarks.gates.sheet import RIGHT, WRONG, Tile, TileRow, draw_sheet, enlarged
from foundation.interfaces import TextImageScorer
from miniature.training.scenes import square_crop, things
from miniature.world import CATEGORIES, FIRST_UNSEEN_SEED, draw_scene, draw_single, plain_caption

_SHOWN_SIDE = 128
_SHOWN_COLUMNS = 8


LabelledImage = tuple[str, NDArray[np.uint8]]  # category, (H, W, 3)


def unseen_singles(per_category: int) -> list[LabelledImage]:
    """Single images of every category in turn, each with a seed of its own."""
    names = CATEGORIES * per_category
    return [(name, draw_single(FIRST_UNSEEN_SEED + i, name).image) for i, name in enumerate(names)]


def unseen_crops(scenes: int) -> list[LabelledImage]:
    """The square around every thing of fresh scenes."""
    drawn = (draw_scene(FIRST_UNSEEN_SEED + number) for number in range(scenes))
    return [
        (thing.category, square_crop(scene.image, thing.mask))
        for scene in drawn
        for thing in things(scene)
    ]


def names_of(scorer: TextImageScorer, images: Sequence[LabelledImage]) -> list[str]:
    """The category whose plain caption is nearest, for every image."""
    texts = scorer.embed_texts([plain_caption(name) for name in CATEGORIES])
    similarity = scorer.embed_images([image for _, image in images]) @ texts.T
    return [CATEGORIES[label] for label in similarity.argmax(1).tolist()]


def clip_gates(scorer: TextImageScorer, *, per_category: int = 50, scenes: int = 100) -> Measured:
    """Measures both gates, and the shares by group and category."""
    gates, detail = [], {}
    for what, images, least in (
        ("single images", unseen_singles(per_category), 0.85),
        ("crops of scenes", unseen_crops(scenes), 0.75),
    ):
        names = names_of(scorer, images)
        right = [(true, true == name) for (true, _), name in zip(images, names, strict=True)]
        detail[what] = shares(right)
        gates.append(Gate("clip", f"accuracy on {what}", detail[what]["all"], least))
    return Measured(tuple(gates), detail)


def clip_sheet(scorer: TextImageScorer) -> Image.Image:
    """Draws three rows of single images and three of crops, with the category that CLIP finds."""
    shown = 3 * _SHOWN_COLUMNS
    rows = []
    for heading, images in (
        ("singles", unseen_singles(2)[:shown]),
        ("crops", unseen_crops(20)[:shown]),
    ):
        names = names_of(scorer, images)
        tiles = [
            _tile(image, name, name == true)
            for (true, image), name in zip(images, names, strict=True)
        ]
        rows += [
            TileRow(tiles[i : i + _SHOWN_COLUMNS], heading)
            for i in range(0, len(tiles), _SHOWN_COLUMNS)
        ]
    return draw_sheet("CLIP: the nearest caption (red: wrong)", [rows])


def _tile(image: NDArray[np.uint8], name: str, right: bool) -> Tile:
    return Tile(enlarged(image, _SHOWN_SIDE), name, RIGHT if right else WRONG)
