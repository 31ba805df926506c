"""One small bank of the miniature stack, built once; scenes; the command line in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rim
from miniature.world import draw_scene
from rim.cli.main import main
from tests.made_once import made_once

NAMES = ("house", "fish", "grass", "sky")


@dataclass(frozen=True)
class Outcome:
    """What one call of the command left: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Calls `rim` with arguments and returns its outcome."""

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(int(leaving.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bank, one for all test processes; tests only read it."""
    return (
        made_once(
            tmp_path_factory,
            "banks",
            lambda folder: rim.build(
                NAMES, folder / "bank", images_per_category=4, steps=8, seed=1
            ),
        )
        / "bank"
    )


@pytest.fixture
def bank_copy(built: Path, tmp_path: Path) -> Path:
    """A copy of the bank that a test may change."""
    return Path(shutil.copytree(built, tmp_path / "bank"))


@pytest.fixture(scope="session")
def opened(built: Path) -> rim.Bank:
    """The bank, open, with its models loaded once for all tests."""
    return rim.open(built)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn scene as a file."""
    path = tmp_path_factory.mktemp("scenes") / "scene.png"
    Image.fromarray(draw_scene(11, (96, 128), things=("house", "fish")).image).save(path)
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_labels(path: Path) -> np.ndarray:
    """A label map's pixels."""
    with Image.open(path) as labels:
        return np.asarray(labels)
