"""Every command, question and program in the README runs as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from miniature.world import draw_scene
from rim.main import main

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a photo in it, where the README's shell commands were run."""
    folder = tmp_path_factory.mktemp("readme")
    Image.fromarray(draw_scene(3, (96, 128), things=("house", "fish")).image).save(
        folder / "photo.png"
    )
    for block in blocks(""):
        lines = [line for line in block.splitlines() if re.match(r"(rim|printf) ", line)]
        for line in lines:
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
