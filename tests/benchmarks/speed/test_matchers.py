"""The matchers' benchmark: every matcher is timed, and they agree where it is easy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import matchers


def test_all_matchers_classify_clear_regions_the_same() -> None:
    features, hubs = matchers.synthetic_bank(7, 4, 128)
    for name, make in matchers.make_matchers(features).items():
        scores = make().match(hubs).scores
        assert scores.argmax(axis=1).tolist() == list(range(7)), name


def test_the_table_and_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.json"
    sizes = ["--categories", "6", "--references", "3", "--dimension", "16", "--regions", "2"]
    matchers.main([*sizes, "--rounds", "1", "--json", str(path)])
    rows = json.loads(path.read_text())
    assert {row["matcher"].split(",")[0] for row in rows} == {"prototype", "knn", "ranking"}
    assert np.all([row["seconds"] > 0 for row in rows])
    printed = capsys.readouterr().out
    assert all(row["matcher"] in printed for row in rows)
