"""Times several ways of doing the same in turns, and reports what was measured.

In turns, so that a slow minute slows them all. Beside it: how much of a device's arithmetic a
computation uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.command import write_json
from benchmarks.gate import Gate, gates_table
from schemas.settings import Settings

Seconds = dict[str, list[float]]

_SIDE = {"cuda": 8192, "cpu": 2048}
_TRIES, _PRODUCTS = 5, 4


def in_turns(
    ways: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> Seconds:
    """Wall-clock seconds of each way, one entry a round: A B A B ...; work queued on a GPU counts.

    The caller has warmed them up.
    """
    seconds: Seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(timed(way, device))
    return seconds


def timed(way: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call."""
    _finish_queue(device)
    started = time.perf_counter()
    way()
    _finish_queue(device)
    return time.perf_counter() - started


def median(seconds: list[float]) -> float:
    """The median of some seconds: a disturbance of a few rounds does not change it."""
    return float(np.median(seconds))


def _finish_queue(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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


def target(
    settings: Settings, device: torch.device, *, miniature: float, full_size: float
) -> float | None:
    """The wanted ratio: of the miniature stack on two cores, of a full-size one on a GPU."""
    is_miniature = settings.known_categories is not None
    if device.type == "cpu":
        return miniature if is_miniature else None
    return None if is_miniature else full_size


def where(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, threads: {torch.get_num_threads()}"


def report(title: str, gates: Sequence[Gate], seconds: Seconds, path: Path | None) -> None:
    """Prints the gates as a table; writes them and the seconds of all rounds if a path is given."""
    Console().print(gates_table(title, gates))
    rounded = {name: [round(one, 6) for one in times] for name, times in seconds.items()}
    gate_rows = [gate.as_dict() for gate in gates]
    write_json(path, {"title": title, "gates": gate_rows, "seconds": rounded})
