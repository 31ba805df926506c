"""A build that is killed (SIGKILL) at any moment goes on to the bytes of an undisturbed one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bank_builder.build import build_bank
from schemas.store.bank import StoredBank
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import StandInStack, settings, shard_bytes

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = ["fish, carp", "owl", "boat"]

# Every image takes a little while, so that moments within shards are hit too.
_CHILD = """
import sys, time
from pathlib import Path
from bank_builder.build import build_bank
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import StandInPainter, StandInStack, settings
print("ready", flush=True)
build_bank(
    vocabulary_from_names({names!r}),
    Path(sys.argv[1]),
    settings(),
    StandInStack(StandInPainter(before=lambda *_: time.sleep(0.03))),
)
"""


def _killed_after(out: Path, seconds: float) -> None:
    """Start a build in a process of its own and kill it so long after its imports."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD.format(names=NAMES), str(out)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "ready\n"
        time.sleep(seconds)
        child.kill()
        child.wait()


def _check(tmp_path: Path, moments: list[float]) -> None:
    vocabulary = vocabulary_from_names(NAMES)
    build_bank(vocabulary, tmp_path / "undisturbed", settings(), StandInStack())
    wanted = shard_bytes(tmp_path / "undisturbed")
    for number, seconds in enumerate(moments):
        out = tmp_path / f"killed{number}"
        _killed_after(out, seconds)
        build_bank(vocabulary, out, settings(), StandInStack())
        assert shard_bytes(out) == wanted, f"killed after {seconds:.3f} s"
        assert StoredBank(out).manifest.version == 1
        assert StoredBank(out).index().count > 0


@pytest.mark.slow
def test_killed_twice(tmp_path: Path) -> None:
    _check(tmp_path, [0.1, 0.35])


@pytest.mark.stress
def test_killed_at_forty_random_moments(tmp_path: Path) -> None:
    chance = random.Random(0)
    _check(tmp_path, [chance.uniform(0.0, 1.2) for _ in range(40)])
