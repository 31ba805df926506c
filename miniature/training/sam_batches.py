"""Pictures and prompts for the training of the miniature SAM and of its teacher.

Beside familiar things the scenes hold nameless species and polygons without end, so that what
learns from them can segment anything; the novel categories of the world are never shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from segment_anything.modeling import Sam
from torch import Tensor

from miniature.training.augment import vary
from miniature.training.sam_prompts import Prompts, draw_prompts
from miniature.training.scene_pool import NOTHING, Picture, ScenePool, pack
from miniature.training.shapes import SPECIES, draw_species_scene
from miniature.world import CATEGORIES, FAMILIAR, STUFF, draw_scene, draw_single

SIDE = 128
_STUFF = [CATEGORIES.index(name) for name in STUFF]
_SIZES = ((128, 128),) * 5 + ((96, 128), (128, 96), (80, 128), (160, 160))


def draw_picture(number: int) -> Picture:
    """Picture `number` of the training stream: scenes of familiar things, species and polygons."""
    rng = np.random.default_rng([number, 50])
    seed = 2_000_000 + number
    size = _SIZES[int(rng.integers(len(_SIZES)))]
    draw = rng.random()
    if draw < 0.04:
        return pack(draw_single(seed, str(rng.choice(STUFF))), SIDE)
    species = [f"{SPECIES}{int(i)}" for i in rng.integers(0, 2**30, 4)]
    familiar = [str(kind) for kind in rng.choice(FAMILIAR, 3)]
    if draw < 0.34:
        side = 64 if rng.random() < 0.8 else int(rng.integers(64, 129))
        kind = familiar[0] if rng.random() < 0.5 else species[0]
        return pack(draw_species_scene(seed, [kind], (side, side), single=True), SIDE)
    if draw < 0.55:
        shapes = int(rng.integers(1, 4))
        return pack(draw_scene(seed, size, things=FAMILIAR, shapes=shapes), SIDE)
    kinds = [str(kind) for kind in rng.permutation(familiar + species)[: int(rng.integers(2, 8))]]
    return pack(draw_species_scene(seed, kinds, size), SIDE)


@dataclass(frozen=True)
class Batch:
    """Preprocessed pixels (B, 3, S, S), maps of regions and parts (B, S, S) uint8, and prompts."""

    pixels: Tensor
    regions: Tensor
    parts: Tensor
    prompts: Prompts


def load_batch(
    sam: Sam,
    pool: ScenePool,
    size: int,
    prompts: int,
    several: float,
    rng: np.random.Generator,
) -> Batch:
    """Random pictures of the pool, varied, with `prompts` prompts each.

    All prompts have one point or, in a share `several` of batches, the same number of 2 to 4.
    """
    slots = rng.integers(0, len(pool), size)
    maps = np.stack([pool.regions[slots], pool.parts[slots]], 1)
    images, truth = vary(pool.images[slots], maps, rng)
    regions, parts = truth.unbind(1)
    stuff = np.isin(pool.classes[slots], _STUFF)
    points = int(rng.integers(2, 5)) if rng.random() < several else 1
    asked = draw_prompts(regions.numpy(), parts.numpy(), stuff, prompts, points, rng)
    return Batch(preprocess(sam, images, regions), regions, parts, asked)


def preprocess(sam: Sam, images: Tensor, regions: Tensor) -> Tensor:
    """As `Sam.preprocess` does: normalised, and zero where the picture is padding."""
    inside = (regions != NOTHING)[:, None]
    pixels = images * 255
    normalised: Tensor = (pixels.to(sam.device) - sam.pixel_mean) / sam.pixel_std
    return normalised * inside.to(sam.device)
