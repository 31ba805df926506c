"""The types that networks compute in: half precision where a device is faster with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

logger = logging.getLogger(__name__)


def fast_type(device: torch.device) -> torch.dtype:
    """The type that a device multiplies matrices in several times faster than in float32.

    bfloat16, which overflows no earlier than float32, where the hardware has it: GPUs since compute
    capability 8.0, CPUs with AMX or AVX512-BF16. float16 on older GPUs. float32 on older CPUs and
    all other devices, Apple's GPUs (MPS) among them, where nothing has been measured.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device)[0] >= 8
        return torch.bfloat16 if native else torch.float16
    if device.type != "cpu":
        return torch.float32
    has = torch.cpu.get_capabilities()
    native = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return torch.bfloat16 if native else torch.float32


def encoder_type(device: torch.device) -> torch.dtype:
    """The type that SAM's image encoder computes in: the fast type of a GPU, float32 on a CPU."""
    return fast_type(device) if device.type == "cuda" else torch.float32


def checker_type(device: torch.device) -> torch.dtype:
    """The type that the safety checker's vision transformer computes in: float16 on a GPU.

    It is published and commonly run in float16. Its cosines are compared with fixed thresholds:
    float16 rounds them by a few 0.0001, bfloat16 would by some 0.001.
    """
    return torch.float32 if device.type == "cpu" else torch.float16


def compute_in(network: nn.Module, dtype: torch.dtype) -> None:
    """Lets a network compute in another type, while all that goes in and comes out is float32.

    So what lies between networks (latents that a scheduler changes a little in each of many steps)
    is not rounded to half precision.

    Args:
        network: its weights become `dtype`. Tensors among its arguments, also in dicts, are
            converted if they are float32; results are converted back. Single numbers stay as they
            are: in bfloat16 the time step 499 would be 500.
        dtype: float32 changes nothing.
    """
    if dtype == torch.float32:
        return
    # torch's own: diffusers' `to` warns of modules that were never marked.
    nn.Module.to(network, dtype=dtype)

    def enter(_: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return _converted(args, torch.float32, dtype), _converted(kwargs, torch.float32, dtype)

    def leave(_: nn.Module, args: Any, output: Any) -> Any:
        return _converted(output, dtype, torch.float32)

    network.register_forward_pre_hook(enter, with_kwargs=True)
    network.register_forward_hook(leave)


def decode_in(autoencoder: Any, dtype: torch.dtype) -> None:
    """Lets an autoencoder's decoder compute in another type, where that gives an image.

    float16 ends at 65504, and activations of some decoders go beyond it (SDXL's do): what comes out
    is not numbers. An autoencoder whose configuration states `force_upcast` decodes in float32. Any
    other is tried in float16, by autocast, so that its weights stay float32; a batch that overflows
    is decoded again in float32, which a log line says once. So what a batch becomes does not depend
    on the batches before it.

    Args:
        autoencoder: of a diffusers pipeline. Latents and images are float32, whatever the type.
        dtype: float32 changes nothing, bfloat16 cannot overflow and is used as it is.
    """
    if dtype != torch.float16:
        compute_in(autoencoder.decoder, dtype)
    elif not asks_for_float32(autoencoder):
        autoencoder.decoder.forward = _half_if_finite(autoencoder.decoder.forward)


def asks_for_float32(autoencoder: Any) -> bool:
    """Whether an autoencoder's configuration states `force_upcast`.

    diffusers fills in True where nothing is stated, as in Stable Diffusion v1.5's, which needs no
    such care; that says nothing.
    """
    config = autoencoder.config
    filled_in = config.get("_use_default_values", ())
    return bool(config.get("force_upcast")) and "force_upcast" not in filled_in


def _half_if_finite(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A decoder's computation in float16, or in float32 where that gives no finite image."""
    told = False

    def decode(latents: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal told
        with torch.autocast(latents.device.type, torch.float16):
            image = forward(latents, *args, **kwargs).float()
        # Latents that are no numbers are not the decoder's doing.
        if torch.isfinite(image).all() or not torch.isfinite(latents).all():
            return image
        if not told:
            told = True
            logger.warning("the decoder overflows in float16; such batches are decoded in float32")
        return forward(latents, *args, **kwargs)

    return decode


def _converted(value: Any, source: torch.dtype, target: torch.dtype) -> Any:
    """The same structure with tensors of one type in another, except single numbers."""
    if isinstance(value, torch.Tensor):
        return value.to(target) if value.dtype == source and value.ndim else value
    if isinstance(value, tuple):
        return tuple(_converted(item, source, target) for item in value)
    if isinstance(value, dict):
        # In place: diffusers' outputs are dicts with attributes.
        for key, item in value.items():
            value[key] = _converted(item, source, target)
    return value
