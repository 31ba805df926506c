"""Every command, question and program in the README runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import rim
from miniature.world import draw_scene, draw_single
from rim.main import main
from schemas.resources import vocabulary_path
from tests.query.datasets.official import grey_png, lines, write_voc

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language, in their order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [content for found, content in fenced if found == language]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a photo in it, where the README's shell commands were run."""
    folder = tmp_path_factory.mktemp("readme")
    Image.fromarray(draw_scene(3, (96, 128), things=("house", "fish")).image).save(
        folder / "photo.png"
    )
    for name in ("house", "fish"):
        (folder / "my-photos" / name).mkdir(parents=True)
        for number in range(2):
            image = draw_single(number, name, (96, 96)).image
            Image.fromarray(image).save(folder / "my-photos" / name / f"{number}.png")
    truth = [[0, 15, 15, 255], [0, 8, 8, 8]]
    write_voc(folder, {"2007_000001": truth})
    grey_png(folder / "other-system" / "2007_000001.png", truth)
    lines(folder / "other-system" / "classes.txt", vocabulary_path("voc21").read_text().split())
    for block in blocks(""):
        commands = [one for one in block.splitlines() if re.match(r"(rim|printf) ", one)]
        for line in commands:
            command = re.sub(r"^rim\b", f"{shlex.quote(sys.executable)} -m rim", line)
            result = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
    return folder


def test_shell_commands(workplace: Path) -> None:
    assert (workplace / "bank" / "manifests" / "000001.json").exists()
    assert (workplace / "labels" / "photo.labels.png").exists()


def test_results_that_the_readme_promises(workplace: Path) -> None:
    assert json.loads((workplace / "scores" / "results.json").read_text())["miou"] == 1
    assert list((workplace / "figures").iterdir())
    sources = rim.open(workplace / "bank").sql("SELECT DISTINCT source FROM images ORDER BY 1")
    assert sources.fetchall() == [("diffusion",), ("folder",)]


def test_questions_in_sql(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    questions = blocks("sql")
    assert len(questions) >= 3
    for question in questions:
        with pytest.raises(SystemExit) as leaving:
            main(["sql", str(workplace / "bank"), question])
        assert not leaving.value.code, capfd.readouterr().err


def test_python(workplace: Path) -> None:
    programs = blocks("python")
    assert programs
    for program in programs:
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=workplace,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("target", ["setup", "demo", "test", "lint", "bench", "stress"])
def test_make_has_the_targets_that_the_documents_name(target: str) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", target], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr


def test_full_size_without_weights_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "`rim build voc20 --out voc --preset paper --offline`" in README
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    arguments = ["build", "voc20", "--out", str(tmp_path / "bank"), "--preset", "paper"]
    with pytest.raises(SystemExit) as leaving:
        main([*arguments, "--offline"])
    assert leaving.value.code == 2
    error = capfd.readouterr().err
    assert "models.text_to_image" in error
    assert "run `rim fetch --preset paper`" in error
    assert "`rim fetch --preset paper`" in README
    assert not (tmp_path / "bank").exists()


def test_pictures_and_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (REPOSITORY / target).exists(), target
