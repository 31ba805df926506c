"""The judge of a work folder."""

from __future__ import annotations

from pathlib import Path

from miniature.training import train_judge
from miniature.training.judge import Judge, load_judge

_MINUTES = "4"


def judge_weights(work: Path) -> Path:
    """Where the judge of a work folder is."""
    return work / "judge" / "judge.safetensors"


def trained_judge(work: Path) -> Judge:
    """The judge of the work folder; trained first if there is none."""
    weights = judge_weights(work)
    if not weights.exists():
        places = ["--work", str(weights.parent), "--pool", str(work / "singles.npz")]
        train_judge.main([*places, "--minutes", _MINUTES])
    return load_judge(weights)
