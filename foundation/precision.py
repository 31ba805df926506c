"""What networks compute in: half precision where a device is faster with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def fast_type(device: torch.device) -> torch.dtype:
    """The type that a device multiplies matrices in several times faster than in float32.

    bfloat16, which overflows no earlier than float32, where the hardware has it: GPUs since compute
    capability 8.0, CPUs with AMX or AVX512-BF16. float16 on older GPUs, float32 on older CPUs.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device)[0] >= 8
        return torch.bfloat16 if native else torch.float16
    has = torch.cpu.get_capabilities()
    native = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return torch.bfloat16 if native else torch.float32


def encoder_type(device: torch.device) -> torch.dtype:
    """What SAM's image encoder computes in: the fast type of a GPU, float32 on a CPU."""
    return fast_type(device) if device.type == "cuda" else torch.float32


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
