"""Point prompts on drawn pictures, and the masks that SAM shall answer them with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from miniature.training.scene_pool import NOTHING

_LEAST_PIXELS = 24
_STUFF_WEIGHT = 0.35  # a stuff region is asked for this often, compared with a thing
_STRAY = 0.15  # share of prompts with several points of which one lies elsewhere nearby


@dataclass(frozen=True)
class Prompts:
    """P prompts of N points on each of B pictures.

    `points` (B * P, N, 2) float32 (x, y) pixels; `regions` and `parts` (B * P,) int64 the region
    asked for and the part under the first point (NOTHING: none, or several points).
    """

    points: Tensor
    regions: Tensor
    parts: Tensor


def draw_prompts(
    regions: NDArray[np.uint8],
    parts: NDArray[np.uint8],
    stuff: NDArray[np.bool_],
    prompts: int,
    points: int,
    rng: np.random.Generator,
) -> Prompts:
    """Prompts on random regions of each picture, their points anywhere inside.

    `regions` and `parts` (B, S, S) as in `scene_pool.Picture`, `stuff` (B, regions) whether a
    region is stuff.
    """
    batch, side = regions.shape[0], regions.shape[-1]
    xy = np.zeros((batch, prompts, points, 2), np.float32)
    asked = np.full((batch, prompts), NOTHING, np.int64)
    part = np.full((batch, prompts), NOTHING, np.int64)
    for b in range(batch):
        flat = regions[b].ravel()
        order = np.argsort(flat, kind="stable")
        counts = np.bincount(flat, minlength=NOTHING + 1)[:NOTHING]
        starts = np.concatenate([[0], np.cumsum(counts)])
        seen = np.flatnonzero(counts >= _LEAST_PIXELS)
        if not len(seen):
            continue
        weights = np.where(stuff[b][seen], _STUFF_WEIGHT, 1.0)
        chosen = rng.choice(seen, prompts, p=weights / weights.sum())
        offsets = rng.integers(0, counts[chosen][:, None], (prompts, points))
        pixels = order[starts[chosen][:, None] + offsets]
        xy[b, ..., 0], xy[b, ..., 1] = pixels % side, pixels // side
        asked[b] = chosen
        if points == 1:
            part[b] = parts[b].ravel()[pixels[:, 0]]
        else:
            stray = rng.random(prompts) < _STRAY
            moved = xy[b, stray, -1] + rng.normal(0, side / 10, (int(stray.sum()), 2))
            xy[b, stray, -1] = moved.clip(0, side - 1)
    return Prompts(
        torch.from_numpy(xy.reshape(batch * prompts, points, 2)),
        torch.from_numpy(asked.ravel()),
        torch.from_numpy(part.ravel()),
    )


def target_masks(regions: Tensor, parts: Tensor, prompts: Prompts) -> Tensor:
    """What the masks shall be, (B * P, 2, S / 2, S / 2): part (or else whole), and whole.

    Values are the share of each low-resolution pixel that is covered, so that the bilinearly
    enlarged mask is right to a fraction of a pixel.
    """
    repeat = len(prompts.regions) // len(regions)
    whole = regions.repeat_interleave(repeat, 0) == prompts.regions[:, None, None]
    same_part = parts.repeat_interleave(repeat, 0) == prompts.parts[:, None, None]
    without = (prompts.parts == NOTHING)[:, None, None]
    part = torch.where(without, whole, whole & same_part)
    return F.avg_pool2d(torch.stack([part, whole], 1).float(), 2)
