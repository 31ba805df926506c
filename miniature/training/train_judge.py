"""Train the judge of generated images on the world's own single images and their masks.

Images are mirrored, slightly recoloured, and sometimes blurred and noisy, so that the judge has
met images as soft as an autoencoder's. The mask of an image of stuff is empty. Its weights stay in
the work folder: they measure the stack and are no part of it.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from miniature.training.judge import Judge, judge_pixels, load_judge, save_judge, score_judge
from miniature.training.loop import (
    Ema,
    Run,
    adamw,
    common_arguments,
    settings_of,
)
from miniature.training.singles import SinglePool, single_arguments, single_pool
from miniature.world import CATEGORIES, STUFF

log = logging.getLogger("miniature")

MINUTES = 4  # after which the judge of a work folder is good enough to measure with
_SOFT_SHARE = 0.7
_NOISY_SHARE = 0.3
_SMOOTHING = 0.05
_MOST_SHIFT = 4
_IS_STUFF = np.array([name in STUFF for name in CATEGORIES])


def batch_of(
    pool: SinglePool, rng: np.random.Generator, size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Disguised images (B, 3, 64, 64) float32, labels (B,) int64, masks (B, 64, 64) float32."""
    chosen = rng.integers(0, len(pool.labels), size)
    labels = pool.labels[chosen]
    images = pool.images[chosen]
    masks = pool.masks[chosen] & ~_IS_STUFF[labels][:, None, None]
    mirrored = rng.random(size) < 0.5
    images[mirrored] = images[mirrored, :, ::-1]
    masks[mirrored] = masks[mirrored, :, ::-1]
    images, masks = _shifted(images, masks, rng)
    return (
        disguised(judge_pixels(images), rng),
        torch.from_numpy(labels),
        torch.from_numpy(masks).float(),
    )


def _shifted(
    images: NDArray[np.uint8], masks: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The batch moved by one random offset of a few pixels, edges repeated."""
    dy, dx = rng.integers(-_MOST_SHIFT, _MOST_SHIFT + 1, 2)
    side = images.shape[1]
    rows, columns = (np.clip(np.arange(side) + d, 0, side - 1) for d in (dy, dx))
    take = np.ix_(np.arange(len(images)), rows, columns)
    return images[take], masks[take]


def disguised(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Changes brightness and tint of all images, blurs some, and adds noise to some."""
    count = len(pixels)

    def draw(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(low, high, (count, *shape, 1, 1)).astype(np.float32))

    pixels = pixels * draw(0.85, 1.15, 1) + draw(-0.12, 0.12, 3)
    blurred = _soft(pixels, float(rng.random()))
    softness = draw(0.0, 1.0, 1) * (draw(0.0, 1.0, 1) < _SOFT_SHARE)
    pixels = torch.lerp(pixels, blurred, softness)
    noisy = draw(0.0, 0.12, 1) * (draw(0.0, 1.0, 1) < _NOISY_SHARE)
    noise = torch.from_numpy(rng.standard_normal(pixels.shape, np.float32))
    return pixels + noisy * noise


def _soft(pixels: torch.Tensor, kind: float) -> torch.Tensor:
    """The batch without its finest detail, in one of three ways; `kind` in [0, 1) says which."""
    if kind < 1 / 3:  # half the resolution, as an autoencoder that has lost the fine grid
        small = F.avg_pool2d(pixels, 2)
        return F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
    width = 3 if kind < 2 / 3 else 5
    padded = F.pad(pixels, (width // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, width, 1)


def judge_weights(work: Path) -> Path:
    """The path of the judge in a benchmark's work folder."""
    return work / "judge" / "judge.safetensors"


def trained_judge(work: Path) -> Judge:
    """Loads the judge of a benchmark's work folder; trains it first if there is none."""
    weights = judge_weights(work)
    if not weights.exists():
        places = ["--work", str(weights.parent), "--pool", str(work / "singles.npz")]
        main([*places, "--minutes", str(MINUTES)])
    return load_judge(weights)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and exports; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    export = Path("WORK/judge.safetensors")
    common_arguments(parser, export=export, steps=4000, batch=64, rate=3e-3)
    single_arguments(parser)
    options = parser.parse_args(arguments)
    if options.export == export:
        options.export = options.work / export.name
    settings = settings_of(options)
    device = settings.device
    model = Judge().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser, ema = adamw(model, settings.rate), Ema(model, decay=0.995)
    run = Run(settings, {"model": model, "optimiser": optimiser, "ema": ema})
    pool = single_pool(options.pool, options.images)
    for _ in run.steps():
        batch = batch_of(pool, run.rng, settings.batch)
        pixels, labels, masks = (part.to(device) for part in batch)
        with run.autocast():
            output = model(pixels)
        category = F.cross_entropy(output.logits.float(), labels, label_smoothing=_SMOOTHING)
        mask = F.binary_cross_entropy_with_logits(output.masks.float(), masks)
        loss = category + mask
        run.update(loss, model, optimiser, ema)
        right = (output.logits.argmax(1) == labels).float().mean()
        run.record(category=category.detach(), mask=mask.detach(), right=right)
    averaged = cast(Judge, ema.module)
    save_judge(averaged, settings.export)
    scores = score_judge(averaged)
    log.info("accuracy %.3f, mask IoU %.3f on unseen images", scores.accuracy, scores.mask_iou)


if __name__ == "__main__":
    main()
