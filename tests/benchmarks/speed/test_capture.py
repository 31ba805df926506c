"""The cost of capturing attention."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.memory.process import can_reset_peak
from benchmarks.speed import capture
from benchmarks.speed.timing import median

CPU = torch.device("cpu")


@pytest.mark.slow
def test_capture_leaves_the_latents_as_they_are() -> None:
    batch = capture.Recipe("miniature", 2, 2, CPU, 1).load()
    with batch.denoising_alone():
        assert capture.largest_difference(batch) == 0
        assert batch.latents.shape == (2, 4, 16, 16)
        assert batch.latents.std() > 0.1
    # Afterwards the pipeline is its own again.
    assert batch.with_capture()[0].image.shape == (64, 64, 3)


@pytest.mark.slow
def test_capture_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two fresh processes would only take long.
    monkeypatch.setattr(capture, "_in_fresh_process", capture.memory)
    path = tmp_path / "capture.json"
    sizes = ["--images", "2", "--steps", "2", "--rounds", "2"]
    capture.main([*sizes, "--device", "cpu", "--threads", "1", "--json", str(path)])
    assert "≤ 1.10" in capsys.readouterr().out
    document = json.loads(path.read_text(encoding="utf-8"))
    measured = {(one["model"], one["gate"]): one["measured"] for one in document["gates"]}
    with_, without = (document["seconds"][name] for name in (capture.WITH, capture.WITHOUT))
    assert len(with_) == len(without) == 2
    ratio = measured["ratio", "denoising"]
    assert ratio == pytest.approx(median(with_) / median(without), abs=1e-3)
    assert measured["difference", "latents, largest"] == 0
    if can_reset_peak():
        for name in (capture.WITH, capture.WITHOUT):
            assert 0 < measured[name, "loaded, GiB"] <= measured[name, "peak, GiB"]
