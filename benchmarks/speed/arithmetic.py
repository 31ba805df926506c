"""How much of a device's arithmetic a computation uses."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.timing import timed

_SIDE = {"cuda": 8192, "cpu": 2048}
_TRIES, _PRODUCTS = 5, 4


@torch.inference_mode()
def matrix_product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of large square matrix products, the best of a few tries."""
    side = _SIDE.get(device.type, _SIDE["cpu"])
    a = torch.randn(side, side, device=device, dtype=dtype)
    shortest = min(timed(lambda: [a @ a for _ in range(_PRODUCTS)], device) for _ in range(_TRIES))
    return 2 * side**3 * _PRODUCTS / shortest


@torch.inference_mode()
def unet_flops(pipeline: Any, size: tuple[int, int], batch: int = 1) -> int:
    """FLOPs of one call of a pipeline's UNet; a multiplication and an addition are two.

    Args:
        pipeline: of diffusers, with one text encoder.
        size: (height, width) of the images.
        batch: of the call, twice the images with guidance.
    """
    unet = pipeline.unet
    factor = pipeline.vae_scale_factor
    like = {"device": unet.device, "dtype": unet.dtype}
    latents = torch.randn(
        batch, unet.config.in_channels, size[0] // factor, size[1] // factor, **like
    )
    tokens = pipeline.tokenizer.model_max_length
    text = torch.randn(batch, tokens, unet.config.cross_attention_dim, **like)
    with FlopCounterMode(display=False) as counter:
        unet(latents, 1, encoder_hidden_states=text)
    return int(counter.get_total_flops())
