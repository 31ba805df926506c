"""The benchmark of memory, at small sizes: neither building nor querying holds a bank's vectors."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory
from benchmarks.memory import Growth, Memory, ProcessFailed, Run

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone")

MIB = 1 << 20


def test_what_a_process_has_is_split_into_its_own_and_mapped_pages(tmp_path: Path) -> None:
    before = memory.memory_of(os.getpid())
    own = np.ones(32 * MIB, np.uint8)
    after = memory.memory_of(os.getpid())
    assert before is not None
    assert after is not None
    assert 30 * MIB < after.anonymous - before.anonymous < 40 * MIB

    (tmp_path / "file").write_bytes(own.data)
    mapped = np.memmap(tmp_path / "file", np.uint8, "r")
    assert int(mapped.sum()) == 32 * MIB
    more = memory.memory_of(os.getpid())
    assert more is not None
    assert more.mapped - after.mapped > 30 * MIB
    assert more.anonymous - after.anonymous < 8 * MIB
    assert memory.memory_of(2**22 + 1) is None  # no process has such a number


def test_growth_is_from_few_to_many() -> None:
    runs = [
        Run("build", 10, 0, anonymous=1000, mapped=0, kept=1, seconds=1.0),
        Run("query", 10, 10, anonymous=500, mapped=0, kept=90, seconds=1.0),
        Run("build", 200, 0, anonymous=1380, mapped=0, kept=1, seconds=1.0),
        Run("query", 200, 10, anonymous=690, mapped=0, kept=100, seconds=1.0),
        Run("query", 200, 500, anonymous=900, mapped=0, kept=1570, seconds=1.0),
    ]
    vectors = 50 * 2 * 1024 * 4
    assert memory.growth(runs, images=50, dimension=1024) == [
        Growth("build", "category", 2.0, vectors),
        Growth("query", "category", 1.0, vectors),
        Growth("query", "photo", 3.0, 0),
    ]


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with (
        memory.Worker(tmp_path, "benchmarks.no") as worker,
        pytest.raises(ProcessFailed, match=r"No module named benchmarks\.no"),
    ):
        worker.watch("build")


def test_a_run_has_the_peaks_and_the_floor_of_its_end() -> None:
    samples = [Memory(anonymous, 50) for anonymous in (20, 10, 90, 15, 40, 33, 30, 36)]
    samples[1] = Memory(10, 70)
    assert memory.described(("query", 3, 8), Memory(10, 20), samples, 1.5) == Run(
        "query", 3, 8, anonymous=80, mapped=50, kept=20, seconds=1.5
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("categories", "images", "dimension"),
    [
        pytest.param((2, 42), 16, 16384, id="long vectors"),
        pytest.param((10, 160), 50, 1024, id="a real bank's", marks=pytest.mark.stress),
    ],
)
def test_neither_building_nor_querying_holds_the_vectors(
    categories: tuple[int, int],
    images: int,
    dimension: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The categories added have 75 MiB of vectors and more; peaks scatter by 20: a copy shows."""
    few, many = map(str, categories)
    sizes = [
        "--images",
        str(images),
        "--dimension",
        str(dimension),
        "--pixels",
        "56",
        "--grid",
        "2",
    ]
    words = ["--categories", few, many, "--photos", "1", "--json", str(tmp_path / "rows.json")]
    monkeypatch.setattr(sys, "argv", ["memory", *words, "--work", str(tmp_path / "work"), *sizes])
    memory.main()
    found = json.loads((tmp_path / "rows.json").read_text())
    assert [(run["doing"], run["categories"]) for run in found["runs"]] == [
        (doing, number) for number in categories for doing in ("build", "query")
    ]
    for one in found["growth"]:
        assert one["vectors"] == images * 2 * dimension * 4
        assert one["bytes"] < 0.75 * one["vectors"], one
    assert "build, each category" in capsys.readouterr().out
    assert list((tmp_path / "work").iterdir()) == []
