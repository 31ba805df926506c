"""Documents as programs: their fenced blocks, run as they stand, in a furnished folder."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miniature.world import CATEGORIES, Scene, draw_scene, draw_single
from rim.cli.main import main
from schemas.resources import vocabulary_path
from tests.rim.evaluation.datasets.official import grey_png, lines, write_voc

REPOSITORY = Path(__file__).resolve().parents[1]
WORDS = ("house, cottage", "fish", "boat", "grass", "water")
CLASSES = ("house", "fish")

_RUN = re.compile(r"(rim|printf|mkdir|tar) ")
_SHELL = re.compile(r"[|&<>*$`]")


def read(name: str) -> str:
    """A document of the repository."""
    return (REPOSITORY / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """A document's fenced blocks of a language ("" without one), in their order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [content for found, content in fenced if found == language]


def commands(text: str) -> list[str]:
    """The commands in a document's blocks without a language, one a line."""
    return [line for block in blocks(text, "") for line in block.splitlines() if _RUN.match(line)]


def run_command(line: str, folder: Path) -> None:
    """Run one command in a folder, where it is to succeed: in this process, which has the
    libraries loaded, or by a shell where it needs one.
    """
    if line.startswith("rim ") and not _SHELL.search(line):
        with contextlib.chdir(folder), pytest.raises(SystemExit) as leaving:
            main(shlex.split(line)[1:])
        assert not leaving.value.code, f"{line}: status {leaving.value.code}"
        return
    rim = f"{shlex.quote(sys.executable)} -m rim"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", re.sub(r"(^|\| )rim\b", rf"\g<1>{rim}", line)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"


def run_program(program: str, folder: Path) -> None:
    """Run a program in Python in a folder."""
    with contextlib.chdir(folder):
        exec(compile(program, "<document>", "exec"), {"__name__": "__main__"})


def furnish(folder: Path) -> None:
    """Put into a folder what the documents take for granted: photos (drawn scenes), photos of two
    categories, label maps with classes, a data set in VOC's layout and another system's labels.
    """
    lines(folder / "words.txt", WORDS)
    scenes = [_scene(seed) for seed in range(3)]
    _save(folder / "photo.png", scenes[0].image)
    for number, scene in enumerate(scenes):
        _save(folder / "photos" / f"{number}.png", scene.image)
        _save(folder / "demo" / "scenes" / f"scene{number}.png", scene.image)
        truth = np.full(scene.image.shape[:2], 255, np.uint8)
        for label, name in enumerate(CLASSES):
            truth[scene.labels == CATEGORIES.index(name)] = label
        _save(folder / "truth" / f"{number}.png", truth)
    lines(folder / "classes.txt", CLASSES)
    for name in ("house", "fish"):
        for number in range(2):
            image = draw_single(number, name, (96, 96)).image
            _save(folder / "my-photos" / name / f"{number}.png", image)
    voc = [[0, 15, 15, 255], [0, 8, 8, 8]]
    write_voc(folder, {"2007_000001": voc})
    grey_png(folder / "other-system" / "2007_000001.png", voc)
    lines(folder / "other-system" / "classes.txt", vocabulary_path("voc21").read_text().split())


def _scene(seed: int) -> Scene:
    return draw_scene(seed, (96, 128), things=("house", "fish"))


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
