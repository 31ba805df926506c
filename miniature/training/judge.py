"""The judge of generated images, which classifies an image and segments the thing in it.

A small convolutional U-Net that was trained on the world's own single images alone. It has no
part in the pipeline and shares no weights with it, so its verdict on the generator is independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_model, save_model
from torch import nn

from miniature.world import CATEGORIES, FIRST_UNSEEN_SEED, STUFF, draw_single

SIDE = 64
_WIDTHS = (32, 64, 128, 192)
_SKIPS = (16, 32, 64)
_BATCH = 128


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(width, width),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.body(x))


@dataclass(frozen=True)
class JudgeOutput:
    """``logits`` (B, 22) of the categories, ``masks`` (B, 64, 64) logits of the thing, ``features``
    (B, 192) that the category logits are linear in; all float tensors."""

    logits: torch.Tensor
    masks: torch.Tensor
    features: torch.Tensor


class Judge(nn.Module):
    """A U-Net: four levels down to 4x4 for the category, from 8x8 back up for the mask."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *_WIDTHS[:-1])
        blocks = (1, 1, 2, 1)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(i, o, 2), *(_Residual(o) for _ in range(n)))
            for i, o, n in zip(inputs, _WIDTHS, blocks, strict=True)
        )
        self.name = nn.Linear(_WIDTHS[-1], len(CATEGORIES))
        # The mask is put together coarse to fine; each level's skip is narrowed to its share.
        self.narrow = nn.ModuleList(
            nn.Conv2d(w, s, 1) for w, s in zip(_WIDTHS[:3], _SKIPS, strict=True)
        )
        self.from_top = nn.Conv2d(_WIDTHS[-1], _SKIPS[-1], 1)
        self.up = nn.ModuleList((_convolution(16, 16), _convolution(32, 16), _convolution(64, 32)))
        self.mask = nn.Conv2d(16, 4, 1)  # four sub-pixels of every 32x32 pixel

    def forward(self, pixels: torch.Tensor) -> JudgeOutput:
        """``pixels``: (B, 3, 64, 64), as :func:`judge_pixels` makes them."""
        levels = []
        x = pixels
        for level in self.down:
            x = level(x)
            levels.append(x)
        features = x.mean((2, 3))
        grown = self.from_top(x)
        for i in (2, 1, 0):
            grown = F.interpolate(grown, scale_factor=2.0, mode="nearest")
            grown = self.up[i](grown + self.narrow[i](levels[i]))
        masks = F.pixel_shuffle(self.mask(grown), 2)[:, 0]
        return JudgeOutput(self.name(features), masks, features)


def judge_pixels(images: NDArray[np.uint8]) -> torch.Tensor:
    """(B, 3, 64, 64) float32 in [-1, 1], channels last in memory, of (B, 64, 64, 3) uint8 RGB."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return pixels.float() / 127.5 - 1


@dataclass(frozen=True)
class Judged:
    """The judge's results for B images: ``labels`` (B,) int64 index into CATEGORIES, ``masks``
    (B, 64, 64) bool, ``features`` (B, 192) float32."""

    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    features: NDArray[np.float32]


@torch.inference_mode()
def judge(model: Judge, images: Sequence[NDArray[np.uint8]]) -> Judged:
    """Classifies and segments images, each (64, 64, 3) uint8 RGB, in float32."""
    for image in images:
        if image.shape != (SIDE, SIDE, 3):
            raise ValueError(f"the judge takes ({SIDE}, {SIDE}, 3) images, not {image.shape}")
    model.eval()
    device = next(model.parameters()).device
    labels, masks, features = [], [], []
    for start in range(0, len(images), _BATCH):
        output = model(judge_pixels(np.stack(images[start : start + _BATCH])).to(device))
        labels.append(output.logits.argmax(1).cpu().numpy())
        masks.append((output.masks > 0).cpu().numpy())
        features.append(output.features.float().cpu().numpy())
    return Judged(np.concatenate(labels), np.concatenate(masks), np.concatenate(features))


@dataclass(frozen=True)
class JudgeScores:
    """The share of unseen single images classified rightly, and the mean IoU of things' masks."""

    accuracy: float
    mask_iou: float


def score_judge(
    model: Judge, *, per_category: int = 30, seed: int = FIRST_UNSEEN_SEED
) -> JudgeScores:
    """Scores a judge on fresh single images of every category."""
    # One seed draws the same background for every category: each image has its own.
    truth = np.arange(per_category * len(CATEGORIES)) % len(CATEGORIES)
    scenes = [draw_single(seed + i, CATEGORIES[label]) for i, label in enumerate(truth)]
    judged = judge(model, [scene.image for scene in scenes])
    ious = []
    for scene, label, mask in zip(scenes, truth, judged.masks, strict=True):
        if CATEGORIES[label] not in STUFF:
            thing = scene.instances[0].mask
            ious.append((mask & thing).sum() / (mask | thing).sum())
    return JudgeScores(float((judged.labels == truth).mean()), float(np.mean(ious)))


def save_judge(model: Judge, path: Path) -> None:
    """Writes the weights as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, str(path))


def load_judge(path: Path, device: str = "cpu") -> Judge:
    """Loads the judge of a safetensors file, in evaluation mode."""
    model = Judge()
    load_model(model, str(path))
    return model.to(device).eval()
