"""CLIP's gates: whether the plain caption nearest to a picture or crop is the right one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.gates.sheet import RIGHT, WRONG, Row, Tile, draw_sheet, enlarged
from benchmarks.gates.table import Gate, Measured, shares
from foundation.interfaces import TextImageScorer
from miniature.training.regions import square_crop, things
from miniature.world import CATEGORIES, FIRST_UNSEEN_SEED, draw_scene, draw_single, plain_caption

_SHOWN_SIDE = 128
_SHOWN_COLUMNS = 8


Picture = tuple[str, NDArray[np.uint8]]  # category, (H, W, 3)


def unseen_singles(per_category: int) -> list[Picture]:
    """Single pictures of every category in turn, each with a seed of its own."""
    names = CATEGORIES * per_category
    return [(name, draw_single(FIRST_UNSEEN_SEED + i, name).image) for i, name in enumerate(names)]


def unseen_crops(scenes: int) -> list[Picture]:
    """The square around every thing of fresh scenes."""
    drawn = (draw_scene(FIRST_UNSEEN_SEED + number) for number in range(scenes))
    return [
        (thing.category, square_crop(scene.image, thing.mask))
        for scene in drawn
        for thing in things(scene)
    ]


def names_of(scorer: TextImageScorer, pictures: Sequence[Picture]) -> list[str]:
    """The category whose plain caption is nearest, of every picture."""
    texts = scorer.embed_texts([plain_caption(name) for name in CATEGORIES])
    similarity = scorer.embed_images([image for _, image in pictures]) @ texts.T
    return [CATEGORIES[label] for label in similarity.argmax(1).tolist()]


def clip_gates(scorer: TextImageScorer, *, per_category: int = 50, scenes: int = 100) -> Measured:
    """Both gates, and the shares by group and category."""
    gates, detail = [], {}
    for what, pictures, least in (
        ("single pictures", unseen_singles(per_category), 0.85),
        ("crops of scenes", unseen_crops(scenes), 0.75),
    ):
        names = names_of(scorer, pictures)
        right = [(true, true == name) for (true, _), name in zip(pictures, names, strict=True)]
        detail[what] = shares(right)
        gates.append(Gate("clip", f"names {what}", detail[what]["all"], least))
    return Measured(tuple(gates), detail)


def clip_sheet(scorer: TextImageScorer) -> Image.Image:
    """Three rows of single pictures and three of crops, each with the name CLIP gives it."""
    shown = 3 * _SHOWN_COLUMNS
    rows = []
    for heading, pictures in (
        ("singles", unseen_singles(2)[:shown]),
        ("crops", unseen_crops(20)[:shown]),
    ):
        names = names_of(scorer, pictures)
        tiles = [
            _tile(picture, name, name == true)
            for (true, picture), name in zip(pictures, names, strict=True)
        ]
        rows += [
            Row(tiles[i : i + _SHOWN_COLUMNS], heading)
            for i in range(0, len(tiles), _SHOWN_COLUMNS)
        ]
    return draw_sheet("CLIP: the nearest caption (red: wrong)", [rows])


def _tile(picture: NDArray[np.uint8], name: str, right: bool) -> Tile:
    return Tile(enlarged(picture, _SHOWN_SIDE), name, RIGHT if right else WRONG)
