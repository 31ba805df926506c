"""The training loop: resumed runs, checkpoints, learning rates and optimisers."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from torch import nn

from miniature.training.loop import (
    Ema,
    Run,
    TrainingSettings,
    adamw,
    common_arguments,
    lr_at,
    muon,
    set_learning_rate,
    settings_of,
)


def _settings(work: Path, steps: int) -> TrainingSettings:
    parser = argparse.ArgumentParser()
    common_arguments(parser, export=work / "out", steps=steps, batch=4, rate=1e-2)
    arguments = ["--work", str(work), "--device", "cpu", "--no-bf16", "--warmup", "1"]
    return settings_of(parser.parse_args(arguments))


def _train_line(work: Path, steps: int) -> tuple[Run, nn.Linear, Ema]:
    """A one-weight regression, with a random batch each step."""
    settings = _settings(work, steps)
    model = nn.Linear(1, 1)
    optimiser, ema = adamw(model, settings.rate), Ema(model)
    run = Run(settings, {"model": model, "optimiser": optimiser, "ema": ema})
    for _ in run.steps():
        set_learning_rate(optimiser, 1e-2)
        x = torch.from_numpy(run.rng.normal(size=(8, 1))).float() + torch.randn(1) * 0.1
        loss = (model(x) - 3 * x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        ema.update(model)
        run.record(loss=loss)
    return run, model, ema


def test_a_resumed_run_ends_in_the_same_state_as_an_unbroken_one(tmp_path: Path) -> None:
    _, whole, whole_ema = _train_line(tmp_path / "whole", 20)
    _train_line(tmp_path / "parts", 8)
    run, resumed, resumed_ema = _train_line(tmp_path / "parts", 20)
    assert run.step == 20
    assert torch.equal(resumed.weight, whole.weight)
    assert torch.equal(resumed_ema.module.weight, whole_ema.module.weight)  # type: ignore[arg-type]


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    _, first, _ = _train_line(tmp_path, 5)
    run, again, _ = _train_line(tmp_path, 5)
    assert run.step == 5
    assert torch.equal(first.weight, again.weight)


def test_a_failed_save_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    run, _, _ = _train_line(tmp_path, 3)
    before = run.checkpoint.read_bytes()

    class Broken:
        def state_dict(self) -> dict[str, object]:
            raise RuntimeError("no state")

        def load_state_dict(self, state: dict[str, object], /) -> None: ...

    run.states = {"folders": Broken()}
    with pytest.raises(RuntimeError, match="no state"):
        run.save()
    assert run.checkpoint.read_bytes() == before


def test_the_learning_rate_warms_up_and_falls() -> None:
    assert lr_at(0.0, 0, warmup=10) == pytest.approx(0.1)
    assert lr_at(0.1, 100, warmup=10) > lr_at(0.5, 500, warmup=10) > lr_at(1.0, 1000, warmup=10)
    assert lr_at(1.0, 1000, warmup=10) == pytest.approx(0.01)


def test_muon_trains_matrices_and_adamw_the_rest() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 2))
    optimiser = muon(model, 1e-2)
    names = [type(part).__name__ for part in optimiser.parts]
    assert names == ["Muon", "AdamW"]
    grouped = [p for group in optimiser.param_groups for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}
    assert len(grouped) == len(list(model.parameters()))
    x = torch.randn(64, 8)
    losses = []
    for _ in range(60):
        loss = (model(x) - x[:, :2]).square().mean()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.2 * losses[0]
