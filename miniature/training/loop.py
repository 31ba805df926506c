"""The training loop of all scripts: settings, schedule, averaged weights, log and checkpoints.

A script builds its modules, hands their states to a `Run` and loops over `run.steps()`:

    run = Run(settings_of(arguments), {"model": model, "optimiser": optimiser, "ema": ema})
    for _ in run.steps():
        with run.autocast():
            loss = ...
        run.update(loss, model, optimiser, ema)
        run.record(loss=loss)

The run ends after `steps` steps or `minutes` of training, whichever is first, counted over all
resumed parts. A checkpoint holds all states, the step, the time and the random generators, and
is replaced atomically; a run that is started again in the same folder goes on from it.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

log = logging.getLogger("miniature")


class Stateful(Protocol):
    """Anything with a state that `torch.save` can hold: a module, an optimiser, an `Ema`."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


@dataclass(frozen=True)
class TrainingSettings:
    """Settings that all training scripts share; `work` holds log and checkpoint."""

    work: Path
    export: Path
    steps: int
    minutes: float | None
    batch: int
    rate: float
    warmup: int
    seed: int
    device: str
    threads: int
    bf16: bool
    workers: int
    log_every: int
    save_minutes: float
    export_minutes: float


def common_arguments(
    parser: argparse.ArgumentParser, *, export: Path, steps: int, batch: int, rate: float
) -> None:
    """Adds the shared command line options, with the script's own defaults."""
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder for log and checkpoint")
    add("--export", type=Path, default=export, help=f"where the weights go (default {export})")
    add("--steps", type=int, default=steps, help=f"optimiser steps (default {steps})")
    add("--minutes", type=float, help="time budget: ends the schedule earlier than --steps")
    add("--batch", type=int, default=batch, help=f"images a step (default {batch})")
    add("--rate", type=float, default=rate, help=f"highest learning rate (default {rate})")
    add("--warmup", type=int, default=200, help="steps of linear warm-up (default 200)")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, default=0, help="torch threads on the CPU (0: all cores)")
    add("--bf16", action=argparse.BooleanOptionalAction, default=True, help="bf16 autocast")
    add("--workers", type=int, default=0, help="processes that draw images ahead")
    add("--log-every", type=int, default=50, help="steps between log lines")
    add("--save-minutes", type=float, default=2.0, help="minutes between checkpoints")
    add("--export-minutes", type=float, default=0.0, help="minutes between exports (0: end only)")


def settings_of(arguments: argparse.Namespace) -> TrainingSettings:
    """Returns the shared settings of parsed arguments; sets seed, threads and logging."""
    fields = TrainingSettings.__dataclass_fields__
    settings = TrainingSettings(**{name: getattr(arguments, name) for name in fields})
    settings.work.mkdir(parents=True, exist_ok=True)
    if settings.threads > 0:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    handlers: list[logging.Handler] = [
        logging.StreamHandler(),
        logging.FileHandler(settings.work / "log.txt"),
    ]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True
    )
    return settings


def lr_at(progress: float, step: int, warmup: int, floor: float = 0.01) -> float:
    """The share of the highest rate: linear warm-up over steps, cosine over progress in [0, 1]."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return min(1.0, (step + 1) / max(warmup, 1)) * (floor + (1.0 - floor) * cosine)


def set_learning_rate(optimiser: torch.optim.Optimizer | Optimisers, rate: float) -> None:
    """Sets one learning rate for all parameter groups (times a group's own `scale`, if any)."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def adamw(module: nn.Module, rate: float, decay: float = 0.05) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices and kernels only."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


class Optimisers:
    """Optimisers of disjoint parameters that step as one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {str(i): part.state_dict() for i, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        for i, part in enumerate(self.parts):
            part.load_state_dict(state[str(i)])


def muon(module: nn.Module, rate: float, decay: float = 0.05) -> Optimisers:
    """Muon (Jordan et al., 2024) for the weights of linear layers, AdamW for everything else.

    Muon's steps are scaled to AdamW's size, so that one learning rate serves both. On transformers
    as small as these it reaches the same loss in well under half the steps of AdamW alone.
    """
    linear = [
        layer.weight
        for layer in module.modules()
        if isinstance(layer, nn.Linear) and layer.weight.requires_grad
    ]
    known = {id(weight) for weight in linear}
    rest = [p for p in module.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    return Optimisers(
        torch.optim.Muon(linear, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True),
    )


class Ema:
    """Exponential moving average of a module's weights; `module` is the averaged copy."""

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the average towards `module`, faster in the first updates."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages = [average.detach() for average in self.module.parameters()]
        values = [value.detach() for value in module.parameters()]
        torch._foreach_lerp_(averages, values, 1.0 - decay)
        for average, value in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.module.load_state_dict(state["module"])
        self.updates = state["updates"]


def save_half(module: nn.Module, path: Path) -> None:
    """Writes the state (fp16) so that a reader sees the old or the new file, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()
        for name, value in module.state_dict().items()
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


class Run:
    """One training run in a work folder: progress, log lines, checkpoints, randomness.

    `rng` is the numpy generator of the run; its state travels with the checkpoint. `step` counts
    finished steps and `seconds` the time since `steps()` began, both over all resumed parts.
    """

    def __init__(self, settings: TrainingSettings, states: Mapping[str, Stateful]) -> None:
        self.settings = settings
        self.states = states
        self.rng = np.random.default_rng(settings.seed)
        self.step = 0
        self._earlier = 0.0
        self._started = time.monotonic()
        self._records: dict[str, list[float]] = {}
        self._logged = (0, 0.0)
        self._resume()

    @property
    def checkpoint(self) -> Path:
        return self.settings.work / "checkpoint.pt"

    @property
    def seconds(self) -> float:
        return self._earlier + time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1], by steps or by time."""
        by_time = self.seconds / (60 * self.settings.minutes) if self.settings.minutes else 0.0
        return min(1.0, max(self.step / max(self.settings.steps, 1), by_time))

    def learning_rate(self) -> float:
        share = lr_at(self.progress, self.step, self.settings.warmup)
        return self.settings.rate * share

    def autocast(self) -> torch.autocast:
        """The context for forward passes: bf16 where the settings ask for it."""
        kind = torch.device(self.settings.device).type
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=self.settings.bf16)

    def update(
        self,
        loss: torch.Tensor,
        model: nn.Module,
        optimiser: torch.optim.Optimizer | Optimisers,
        ema: Ema | None = None,
        *,
        most_norm: float | None = None,
    ) -> torch.Tensor:
        """Moves the weights against the gradient of a loss, at this step's learning rate.

        Args:
            model: averaged by `ema`, and its gradient is what `most_norm` bounds.
            most_norm: a longer gradient is scaled down to this norm; None: none is.

        Returns:
            The norm of the gradient before that; 0 without `most_norm`.
        """
        set_learning_rate(optimiser, self.learning_rate())
        optimiser.zero_grad()
        loss.backward()
        norm = torch.zeros(())
        if most_norm is not None:
            norm = nn.utils.clip_grad_norm_(model.parameters(), most_norm)
        optimiser.step()
        if ema is not None:
            ema.update(model)
        return norm

    def steps(self) -> Iterator[int]:
        """Yields step numbers until the run is over; saves now and then, and at the end."""
        self._started = time.monotonic()
        saved = self.seconds
        self._logged = (self.step, saved)
        while self.progress < 1.0:
            yield self.step
            self.step += 1
            if self.step % self.settings.log_every == 0:
                self._write_line()
            if self.seconds - saved > 60 * self.settings.save_minutes:
                self.save()
                saved = self.seconds
        self.save()

    def record(self, **values: float | torch.Tensor) -> None:
        """Records values of this step; each log line holds their means since the last one."""
        for name, value in values.items():
            number = value.item() if isinstance(value, torch.Tensor) else value
            self._records.setdefault(name, []).append(float(number))

    def export_due(self, last: float) -> bool:
        """Whether `export_minutes` have passed since `last` (in run seconds)."""
        minutes = self.settings.export_minutes
        return minutes > 0 and self.seconds - last > 60 * minutes

    def save(self) -> None:
        """Writes the checkpoint; after a crash it is the new one or still the one before."""
        state = {
            "states": {name: part.state_dict() for name, part in self.states.items()},
            "step": self.step,
            "seconds": self.seconds,
            "numpy": json.dumps(self.rng.bit_generator.state),
            "torch": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state()
        temporary = self.checkpoint.with_suffix(".tmp")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.checkpoint)

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        for name, part in self.states.items():
            part.load_state_dict(state["states"][name])
        self.step, self._earlier = state["step"], state["seconds"]
        self.rng.bit_generator.state = json.loads(state["numpy"])
        torch.set_rng_state(state["torch"])
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])
        log.info("resumed at step %d after %.0f s", self.step, self._earlier)

    def _write_line(self) -> None:
        step, seconds = self._logged
        pace = (self.step - step) / max(self.seconds - seconds, 1e-9)
        means = " ".join(f"{name} {np.mean(values):.4f}" for name, values in self._records.items())
        rate = self.learning_rate()
        log.info("step %d %s lr %.2e %.2f it/s %.0f s", self.step, means, rate, pace, self.seconds)
        self._logged, self._records = (self.step, self.seconds), {}
