"""Nearest neighbours: all ways find the same, and each is timed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import search


def test_all_ways_find_the_highest_similarities() -> None:
    rng = np.random.default_rng(0)
    embeddings, queries = (rng.standard_normal((n, 8), np.float32) for n in (50, 3))
    expected = -np.sort(-(queries @ embeddings.T), axis=1)[:, :4]
    ways = search.searches(embeddings, queries, 4)
    assert len(ways) == 3
    for find in ways.values():
        np.testing.assert_allclose(find(), expected, rtol=1e-5)


def test_the_table_and_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "seconds.json"
    sizes = ["--references", "40", "--dimension", "8", "--regions", "2", "--rounds", "2"]
    search.main([*sizes, "--json", str(path)])
    seconds = json.loads(path.read_text())
    assert {len(times) for times in seconds.values()} == {2}
    printed = capsys.readouterr().out
    assert all(name in printed for name in seconds)
