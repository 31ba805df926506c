"""The benchmark of memory, at small sizes: neither building nor querying holds a bank's vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.command import environment
from benchmarks.memory import growth, process
from benchmarks.memory.growth import Growth, ProcessFailed, Run
from benchmarks.memory.process import Memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone")

MIB = 1 << 20


# In a process of its own: in this one other tests leave memory that is freed at any time.
_SAMPLES = """
import json, os, sys
from dataclasses import asdict
import numpy as np
from benchmarks.memory.process import memory_of

def sample():
    samples.append(asdict(memory_of(os.getpid())))

samples = []
sample()
own = np.ones(32 << 20, np.uint8)
sample()
own.tofile(sys.argv[1])
mapped = np.memmap(sys.argv[1], np.uint8, "r")
assert int(mapped.sum()) == 32 << 20
sample()
print(json.dumps(samples))
"""


def test_memory_is_split_into_a_process_own_and_mapped_pages(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SAMPLES, str(tmp_path / "file")],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    before, own, mapped = (Memory(**one) for one in json.loads(done.stdout))
    assert 30 * MIB < own.anonymous - before.anonymous < 40 * MIB
    assert mapped.mapped - own.mapped > 30 * MIB
    assert mapped.anonymous - own.anonymous < 8 * MIB
    assert process.memory_of(2**22 + 1) is None  # no process has such a number


def test_growth_is_from_few_to_many() -> None:
    runs = [
        Run("build", 10, 0, anonymous=1000, mapped=0, kept=1, seconds=1.0),
        Run("query", 10, 10, anonymous=500, mapped=0, kept=90, seconds=1.0),
        Run("build", 200, 0, anonymous=1380, mapped=0, kept=1, seconds=1.0),
        Run("query", 200, 10, anonymous=690, mapped=0, kept=100, seconds=1.0),
        Run("query", 200, 500, anonymous=900, mapped=0, kept=1570, seconds=1.0),
    ]
    vectors = 50 * 2 * 1024 * 4
    assert growth.growth(runs, images=50, dimension=1024) == [
        Growth("build", "category", 2.0, vectors),
        Growth("query", "category", 1.0, vectors),
        Growth("query", "photo", 3.0, 0),
    ]


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with (
        growth.Worker(tmp_path, "benchmarks.no") as worker,
        pytest.raises(ProcessFailed, match=r"No module named benchmarks\.no"),
    ):
        worker.watch("build")


def test_a_run_has_the_peaks_and_the_floor_of_its_end() -> None:
    samples = [Memory(anonymous, 50) for anonymous in (20, 10, 90, 15, 40, 33, 30, 36)]
    samples[1] = Memory(10, 70)
    assert growth.described(("query", 3, 8), Memory(10, 20), samples, 1.5) == Run(
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
    growth.main([*words, "--work", str(tmp_path / "work"), *sizes])
    found = json.loads((tmp_path / "rows.json").read_text())
    assert [(run["doing"], run["categories"]) for run in found["runs"]] == [
        (doing, number) for number in categories for doing in ("build", "query")
    ]
    for one in found["growth"]:
        assert one["vectors"] == images * 2 * dimension * 4
        assert one["bytes"] < 0.75 * one["vectors"], one
    assert "build, each category" in capsys.readouterr().out
    assert list((tmp_path / "work").iterdir()) == []
