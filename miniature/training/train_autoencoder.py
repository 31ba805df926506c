"""Train the autoencoder of the miniature Stable Diffusion pipeline, diffusers' AutoencoderKL.

It learns from single images.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from miniature.training.loop import (
    Ema,
    Run,
    adamw,
    common_arguments,
    settings_of,
)
from miniature.training.singles import single_arguments, single_pool
from miniature.world import CATEGORIES, draw_single

log = logging.getLogger("miniature")

UNSEEN = 220  # images on which the trained model is measured
_KL_WEIGHT = 1e-6


def autoencoder() -> AutoencoderKL:
    """64x64 images to 16x16x4 latents and back, 0.6 M parameters."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
        force_upcast=False,
    )


def centred(images: NDArray[np.uint8], device: str) -> torch.Tensor:
    """(B, 3, S, S) in [-1, 1] from (B, S, S, 3) uint8."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared error, by which colours are right early, and absolute error for sharper edges."""
    return 4 * F.mse_loss(output, target) + 0.25 * F.l1_loss(output, target)


@torch.no_grad()
def settle_scale(model: AutoencoderKL, images: torch.Tensor) -> float:
    """Sets the scaling factor so that scaled latents have standard deviation one; returns it."""
    latents = model.encode(images).latent_dist.mean
    model.register_to_config(scaling_factor=float(1 / latents.std()))
    return float(model.config.scaling_factor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and exports; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    export = Path("data/miniature/text-to-image/vae")
    common_arguments(parser, export=export, steps=6000, batch=16, rate=1e-3)
    single_arguments(parser)
    parser.add_argument(
        "--start",
        type=Path,
        help="folder of trained weights to refine: the decoder alone, the latents stay",
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    model = autoencoder()
    if options.start:
        model = AutoencoderKL.from_pretrained(options.start, torch_dtype=torch.float32)
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    model.to(settings.device)
    optimiser, ema = adamw(model, settings.rate, decay=0.0), Ema(model)
    run = Run(settings, {"model": model, "optimiser": optimiser, "ema": ema})
    pool = single_pool(options.pool, options.images)
    for _ in run.steps():
        chosen = run.rng.integers(0, len(pool.labels), settings.batch)
        images = centred(pool.images[chosen], settings.device)
        with run.autocast():
            posterior = model.encode(images).latent_dist
            output = model.decode(posterior.sample()).sample.float()
        pixels = reconstruction_loss(output, images)
        loss = pixels + _KL_WEIGHT * posterior.kl().mean()
        run.update(loss, model, optimiser, ema, most_norm=1.0)
        run.record(loss=pixels.detach())
    unseen = np.stack([draw_single(seed, CATEGORIES[seed % 22]).image for seed in range(UNSEEN)])
    images = centred(unseen, settings.device)
    average: AutoencoderKL = ema.module
    with torch.no_grad():
        output = average(images).sample
    if not options.start:
        log.info("scale %.4f", settle_scale(average, images))
    error = float(((output.clamp(-1, 1) - images) / 2).pow(2).mean())
    log.info("PSNR on unseen images %.2f dB", -10 * np.log10(error))
    average.half().save_pretrained(settings.export)


if __name__ == "__main__":
    main()
