"""Pictures for the training of features, and the pooled features of their regions.

Regions are pooled as they are at build and query time: the mean of patch tokens, weighted by
coverage, L2-normalised. A region's kind is a familiar category, a stuff, or one of many nameless
species, which stand in for the shapes that no label names; the novel categories of the world are
never shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from miniature.training.augment import vary
from miniature.training.scene_pool import MOST_REGIONS, Picture, ScenePool, pack
from miniature.training.shapes import SPECIES, draw_species_scene
from miniature.world import CATEGORIES, FAMILIAR, FIRST_TRAINING_SEED, STUFF, draw_single

SIDE = 128
PATCH = 8
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SPECIES_COUNT = 512
_STUFF = torch.tensor([CATEGORIES.index(name) for name in STUFF])


@dataclass(frozen=True)
class Batch:
    """Pictures (B, 3, S, S) in [0, 1], region maps (B, S, S), classes (B, MOST_REGIONS) int64."""

    images: Tensor
    regions: Tensor
    classes: Tensor


def draw_picture(number: int) -> Picture:
    """Picture `number` of the training stream: scenes and singles of familiar kinds and species."""
    rng = np.random.default_rng([number, 40])
    seed = FIRST_TRAINING_SEED + number
    species = [f"{SPECIES}{int(i)}" for i in rng.integers(0, SPECIES_COUNT, 3)]
    familiar = [str(kind) for kind in rng.choice(FAMILIAR, 3)]
    draw = rng.random()
    if draw < 0.06:
        return pack(draw_single(seed, str(rng.choice(STUFF)), _single_size(rng)), SIDE)
    if draw < 0.5:
        kind = familiar[0] if draw < 0.25 else species[0]
        return pack(draw_species_scene(seed, [kind], _single_size(rng), single=True), SIDE)
    kinds = [familiar[0], species[0], familiar[1], species[1], familiar[2], species[2]]
    kinds = kinds[: int(rng.integers(3, 7))]
    return pack(
        draw_species_scene(seed, [kinds[int(i)] for i in rng.permutation(len(kinds))]), SIDE
    )


def _single_size(rng: np.random.Generator) -> tuple[int, int]:
    side = 64 if rng.random() < 0.7 else int(rng.integers(56, 112))
    return side, side


def load_batch(pool: ScenePool, slots: NDArray[np.int64], rng: np.random.Generator) -> Batch:
    """The pictures of the slots, varied at random."""
    images, maps = vary(pool.images[slots], pool.regions[slots][:, None], rng)
    return Batch(images, maps[:, 0], torch.from_numpy(pool.classes[slots]).long())


def coverage(regions: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Share of each patch under each region, (B, MOST_REGIONS, patches) float32.

    Some regions are cut by a random half-plane, as proposals often hold only a part of a thing.
    """
    pictures, count = len(regions), MOST_REGIONS + 1  # the last one gathers what is no region
    number = np.minimum(regions, MOST_REGIONS).astype(np.int64)
    owner = number + count * np.arange(pictures)[:, None, None]
    plane = _half_planes(rng, (pictures * count,)).astype(np.float32)[owner]
    line = np.linspace(-1, 1, SIDE, dtype=np.float32)
    inside = plane[..., 0] * line[:, None] + plane[..., 1] * line < plane[..., 2]
    left = np.bincount(owner[inside], minlength=pictures * count)
    whole = np.bincount(owner.ravel(), minlength=pictures * count)
    inside |= (left < 0.35 * whole)[owner]
    row = np.arange(SIDE) // PATCH
    patch = row[:, None] * (SIDE // PATCH) + row
    patches = (SIDE // PATCH) ** 2
    area = np.bincount(
        (owner * patches + patch)[inside], minlength=pictures * count * patches
    ).reshape(pictures, count, patches)
    return torch.from_numpy(area[:, :MOST_REGIONS] / PATCH**2).float()


def _half_planes(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    angle, offset = rng.uniform(0, 2 * np.pi, shape), rng.uniform(-0.4, 0.6, shape)
    offset[rng.random(shape) < 0.7] = 9.0
    return np.stack([np.cos(angle), np.sin(angle), offset], -1)


def normalised(images: Tensor) -> Tensor:
    """Pixels (B, 3, H, W) in [0, 1] as the models want them."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def choose_patches(weights: Tensor, classes: Tensor, keep: int) -> Tensor:
    """Indices (B, keep) of patches to look at, those of things first, the rest at random.

    `weights` (B, MOST_REGIONS, patches) are shares of coverage, `classes` (B, MOST_REGIONS).
    """
    is_thing = (classes >= 0) & ~torch.isin(classes, _STUFF)
    things = (weights * is_thing[..., None]).sum(1)
    return (things + torch.rand_like(things)).topk(keep, dim=1).indices


def pool_named(tokens: Tensor, weights: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """L2-normalised features (R, d) of all regions that have a kind, and their kinds (R,).

    `tokens` (B, P, d), `weights` (B, MOST_REGIONS, P), `classes` (B, MOST_REGIONS).
    """
    with torch.autocast(tokens.device.type, enabled=False):
        pooled = F.normalize(torch.bmm(weights, tokens.float()), dim=-1)
    named = (classes >= 0) & (weights.sum(-1) > 0.75)
    return pooled[named], classes[named]
