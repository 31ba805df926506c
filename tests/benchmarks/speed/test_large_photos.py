"""The benchmark of large photos, on small ones: both ways agree, and memory is measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import large_photos


def test_the_table_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(large_photos, "SIZES", {"1": (300, 1100)})
    monkeypatch.setattr(large_photos, "memory_of", lambda *_: 12.0)
    path = tmp_path / "rows.json"
    sizes = ["--regions", "3", "--categories", "4", "--rounds", "1", "--sizes", "1"]
    large_photos.main([*sizes, "--json", str(path)])
    (row,) = json.loads(path.read_text())
    assert (row["regions"], row["differing"], row["memory"]) == (3, 0, 12)
    assert "300" in capsys.readouterr().out


def test_regions_differ_and_have_edges() -> None:
    segmenter = large_photos.WavyRegions(9)
    embedding = segmenter.embed(np.zeros((90, 120, 3), np.uint8))
    grid = np.stack(np.meshgrid([20, 60, 100], [20, 45, 70]), axis=-1).reshape(-1, 1, 2)
    masks = segmenter.predict(embedding, grid).logits[:, 0] > 0
    assert len({mask.numpy().tobytes() for mask in masks}) == 9
    assert 0 < masks.float().mean() < 0.9
