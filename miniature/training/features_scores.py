"""Scores of features: regions classified by the nearest of the world's own single images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import Dinov2Model

from miniature.training.features import normalised
from miniature.training.scenes import regions
from miniature.world import (
    CATEGORIES,
    FAMILIAR,
    FIRST_UNSEEN_SEED,
    NOVEL,
    STUFF,
    Scene,
    draw_scene,
    draw_single,
)


@dataclass(frozen=True)
class FeatureScores:
    """Shares of ground-truth regions that are classified rightly, by group and by category."""

    familiar: float
    novel: float
    stuff: float
    per_category: dict[str, float]

    def line(self) -> str:
        parts = " ".join(f"{name} {share:.2f}" for name, share in self.per_category.items())
        return (
            f"1-NN familiar {self.familiar:.3f} novel {self.novel:.3f} stuff {self.stuff:.3f}"
            f" ({parts})"
        )

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Extractor:
    """Patch tokens (B, patches, d) of normalised pixels (B, 3, side, side)."""

    tokens: Callable[[Tensor], Tensor]
    side: int
    patch: int

    @classmethod
    def of(cls, model: Dinov2Model) -> Extractor:
        def tokens(pixels: Tensor) -> Tensor:
            patches: Tensor = model(pixels.to(model.device)).last_hidden_state[:, 1:]
            return patches

        return cls(tokens, model.config.image_size, model.config.patch_size)


@torch.no_grad()
def region_features(
    extractor: Extractor, images: list[NDArray[np.uint8]], masks: list[list[NDArray[np.bool_]]]
) -> list[NDArray[np.float32]]:
    """Pooled, L2-normalised features (n, d) of the masks of each square image."""
    side, patch = extractor.side, extractor.patch
    stacked = np.stack(
        [
            np.asarray(Image.fromarray(i).resize((side, side), Image.Resampling.BICUBIC))
            for i in images
        ]
    )
    pixels = normalised(torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255)
    tokens = extractor.tokens(pixels).float().cpu()
    pooled = []
    for row, of_image in zip(tokens, masks, strict=True):
        cover = torch.from_numpy(np.stack(of_image)).float()[None]
        cover = F.interpolate(cover, (side // patch, side // patch), mode="area")[0].flatten(1)
        pooled.append(F.normalize(cover @ row, dim=1).numpy())
    return pooled


def score_features(model: Dinov2Model, *, scenes: int = 100) -> FeatureScores:
    """As `score_extractor`, for the miniature DINOv2."""
    model.eval()
    return score_extractor(Extractor.of(model), scenes=scenes)


def score_extractor(
    extractor: Extractor, *, scenes: int = 100, references: int = 20, seed: int = FIRST_UNSEEN_SEED
) -> FeatureScores:
    """Classifies the ground-truth regions of fresh scenes by their nearest reference.

    References are `references` single images of every category, 64 pixels wide.
    """
    bank, categories = [], []
    for category, name in enumerate(CATEGORIES):
        singles = [draw_single(seed + i, name) for i in range(references)]
        masks = [[_largest_mask(single)] for single in singles]
        bank += region_features(extractor, [single.image for single in singles], masks)
        categories += [category] * references
    keys, labels = np.concatenate(bank), np.asarray(categories)
    hits: dict[int, list[bool]] = {category: [] for category in range(len(CATEGORIES))}
    for start in range(0, scenes, 25):
        group = [draw_scene(seed + 1000 + i) for i in range(start, min(start + 25, scenes))]
        wanted = [regions(scene) for scene in group]
        masks = [[region.mask for region in of_scene] for of_scene in wanted]
        found = region_features(extractor, [scene.image for scene in group], masks)
        for of_scene, features in zip(wanted, found, strict=True):
            nearest = labels[(features @ keys.T).argmax(1)]
            for region, guess in zip(of_scene, nearest, strict=True):
                category = CATEGORIES.index(region.category)
                hits[category].append(bool(guess == category))

    def share(group: tuple[str, ...]) -> float:
        pooled = [hit for name in group for hit in hits[CATEGORIES.index(name)]]
        return float(np.mean(pooled)) if pooled else 0.0

    per_category = {name: round(share((name,)), 3) for name in CATEGORIES}
    return FeatureScores(share(FAMILIAR), share(NOVEL), share(STUFF), per_category)


def _largest_mask(single: Scene) -> NDArray[np.bool_]:
    """The thing of a single image, or all of a stuff image."""
    return single.instances[0].mask if single.instances else np.ones(single.labels.shape, bool)
