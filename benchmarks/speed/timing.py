"""Timing several ways of doing the same in turns, so that a slow minute slows them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

Seconds = dict[str, list[float]]


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
    """The middle one: a disturbance of a few rounds does not move it."""
    return float(np.median(seconds))


def _finish_queue(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
