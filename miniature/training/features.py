"""Batches of drawn regions, and the losses by which features learn from them.

Regions are pooled as they are at build and query time: the mean of patch tokens, weighted by
coverage, L2-normalised. The kind of a region is a familiar category, a stuff, or one of many
nameless species, which stand in for the shapes that no label names; the novel categories of the
world are never shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from miniature.training.scenes import (
    FIRST_SPECIES,
    MOST_REGIONS,
    PackedImage,
    ScenePool,
    pack,
    vary,
)
from miniature.training.shapes import SPECIES, draw_species_scene
from miniature.world import CATEGORIES, FAMILIAR, FIRST_TRAINING_SEED, STUFF, draw_single

SIDE = 128
PATCH = 8
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SPECIES_COUNT = 512
_STUFF = torch.tensor([CATEGORIES.index(name) for name in STUFF])


@dataclass(frozen=True)
class RegionBatch:
    """Images (B, 3, S, S) in [0, 1], region maps (B, S, S), classes (B, MOST_REGIONS) int64."""

    images: Tensor
    regions: Tensor
    classes: Tensor


def draw_image(number: int) -> PackedImage:
    """Image `number` of the training stream: scenes and singles of familiar kinds and species."""
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


def load_region_batch(
    pool: ScenePool, slots: NDArray[np.int64], rng: np.random.Generator
) -> RegionBatch:
    """The images of the slots, varied at random."""
    images, maps = vary(pool.images[slots], pool.regions[slots][:, None], rng)
    return RegionBatch(images, maps[:, 0], torch.from_numpy(pool.classes[slots]).long())


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
    """Normalises pixels (B, 3, H, W) in [0, 1] as ImageNet models expect them."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def choose_patches(weights: Tensor, classes: Tensor, count: int) -> Tensor:
    """Indices (B, count) of patches to look at, those of things first, the rest at random.

    `weights` (B, MOST_REGIONS, patches) are shares of coverage, `classes` (B, MOST_REGIONS).
    """
    is_thing = (classes >= 0) & ~torch.isin(classes, _STUFF)
    things = (weights * is_thing[..., None]).sum(1)
    return (things + torch.rand_like(things)).topk(count, dim=1).indices


def pool_labelled(tokens: Tensor, weights: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """L2-normalised features (R, d) of all regions that have a kind, and their kinds (R,).

    `tokens` (B, P, d), `weights` (B, MOST_REGIONS, P), `classes` (B, MOST_REGIONS).
    """
    with torch.autocast(tokens.device.type, enabled=False):
        pooled = F.normalize(torch.bmm(weights, tokens.float()), dim=-1)
    labelled = (classes >= 0) & (weights.sum(-1) > 0.75)
    return pooled[labelled], classes[labelled]


LABELLED = tuple(CATEGORIES.index(name) for name in FAMILIAR + STUFF)


class KindClassifier(nn.Module):
    """A cosine classifier over familiar categories, stuff and species (Zhai and Wu, 2019)."""

    table: Tensor

    def __init__(self, width: int, temperature: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(LABELLED) + SPECIES_COUNT, width))
        self.temperature = temperature
        table = torch.full((FIRST_SPECIES + SPECIES_COUNT,), -1)
        table[list(LABELLED)] = torch.arange(len(LABELLED))
        table[FIRST_SPECIES:] = len(LABELLED) + torch.arange(SPECIES_COUNT)
        self.register_buffer("table", table, persistent=False)

    def forward(self, features: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each of the normalised features (R, d), and which are classified
        right.
        """
        logits = features @ F.normalize(self.weight, dim=1).T / self.temperature
        wanted = self.table[classes]
        return F.cross_entropy(logits, wanted, reduction="none"), logits.argmax(1) == wanted


class FeatureMemory:
    """The latest features (n, d) and their classes (n,), which new ones are contrasted with too."""

    def __init__(self, width: int, capacity: int, device: str) -> None:
        self.features = torch.zeros(capacity, width, device=device)
        self.classes = torch.full((capacity,), -1, device=device)
        self._next = 0

    def add(self, features: Tensor, classes: Tensor) -> None:
        """Replaces the oldest entries."""
        slots = (self._next + torch.arange(len(features))) % len(self.features)
        self.features[slots], self.classes[slots] = features.detach(), classes
        self._next = int(slots[-1]) + 1

    def state_dict(self) -> dict[str, Any]:
        return {"features": self.features, "classes": self.classes, "next": self._next}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.features.copy_(state["features"])
        self.classes.copy_(state["classes"])
        self._next = state["next"]


def contrastive_loss(
    features: Tensor, classes: Tensor, memory: FeatureMemory, temperature: float = 0.1
) -> Tensor:
    """Supervised contrastive loss (Khosla et al., 2020) of normalised features (R, d).

    Each is contrasted with the others and with a memory (Wang et al., 2020). Features whose kind
    none of these has do not count; every kind of the batch has the same weight.
    """
    keys = torch.cat([features, memory.features])
    kinds = torch.cat([classes, memory.classes])
    similarity = features @ keys.T / temperature
    left_out = kinds.expand(len(features), -1) < 0
    left_out.fill_diagonal_(True)
    same = (classes[:, None] == kinds) & ~left_out
    logs = similarity.masked_fill(left_out, -torch.inf).log_softmax(1).masked_fill(~same, 0.0)
    pairs = same.sum(1)
    losses = -logs.sum(1) / pairs.clamp(min=1)
    of_kind = (classes[:, None] == classes).sum(1)
    share = (pairs > 0) / of_kind
    return (losses * share).sum() / share.sum().clamp(min=1e-6)
