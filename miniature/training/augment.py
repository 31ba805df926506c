"""Random variations of training pictures: zoom, mirror image, blur, colour and noise.

Generated pictures are softer and noisier than drawn ones, and things in them come at any scale;
models that shall understand them see the drawn ones varied likewise.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def vary(
    images: NDArray[np.uint8], maps: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Vary square pictures (B, S, S, 3) and, alike, their maps of numbers (B, K, S, S).

    Returns float32 (B, 3, S, S) in [0, 1] and uint8 (B, K, S, S).
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    truth = torch.from_numpy(maps).clone()
    for i in range(len(images)):
        pixels[i], truth[i] = _vary_shape(pixels[i], truth[i], rng)
    return _recolour(pixels, rng), truth


def _vary_shape(image: Tensor, maps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    side = image.shape[-1]
    if rng.random() < 0.35:
        cut = int(rng.integers(side // 2, side))
        top, left = (int(v) for v in rng.integers(0, side - cut + 1, 2))
        window = (..., slice(top, top + cut), slice(left, left + cut))
        image = resize(image[window], side)
        nearest = F.interpolate(maps[window][None].float(), (side, side), mode="nearest")
        maps = nearest[0].to(torch.uint8)
    if rng.random() < 0.5:
        image, maps = image.flip(-1), maps.flip(-1)
    if rng.random() < 0.3:
        coarse = int(rng.integers(round(0.32 * side), round(0.75 * side)))
        image = resize(resize(image, coarse), side)
    return image, maps


def _recolour(images: Tensor, rng: np.random.Generator) -> Tensor:
    count = len(images)
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (count, 3, 1, 1))).float()
    shift = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 1, 1, 1))).float()
    noise = torch.from_numpy(rng.uniform(0, 0.03, (count, 1, 1, 1))).float()
    grain = torch.from_numpy(rng.standard_normal(images.shape, np.float32))  # faster than torch's
    return (images * gain + shift + grain * noise).clamp(0, 1)


def resize(image: Tensor, side: int) -> Tensor:
    """A picture (C, H, W) as (C, side, side), bilinearly, antialiased where it shrinks."""
    smaller = side < image.shape[-1]
    return F.interpolate(
        image[None], (side, side), mode="bilinear", align_corners=False, antialias=smaller
    )[0]
