"""Completion on the command line: the shells' scripts, and what they are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rim.cli.main import main
from schemas.resources import preset_names
from tests.query.examples import reference_row, write_bank
from tests.rim.conftest import Run

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion") / "bank"
    names = ("house", "horse", "traffic light")
    unit = np.array([1, 0], np.float32)
    write_bank(folder, {name: [reference_row(n, name, 0, unit)] for n, name in enumerate(names)})
    return folder


def complete(line: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """What bash is told for a line with the cursor at its end, in one line."""
    monkeypatch.setenv("_RIM_COMPLETE", "bash_complete")
    monkeypatch.setenv("RIM_LINE", line)
    monkeypatch.setenv("RIM_WORD", line.rpartition(" ")[2])
    with pytest.raises(SystemExit):
        main([])
    captured = capfd.readouterr()
    assert captured.err == ""
    return " ".join(captured.out.split("\n")).strip().replace("plain,", "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rim bu", "build"),
        ("rim build voc", "voc20 voc21"),
        ("rim build words", "file,words"),
        ("rim build x --preset ", " ".join(preset_names())),
        ("rim build x --preset mine", "file,mine"),
        ("rim build x --set generation.s", "generation.steps= generation.seed="),
        ("rim build x --set matching.matcher=k", "matching.matcher=knn"),
        ("rim build x --source d", "diffusion"),
        ("rim build x --device c", "cpu cuda cuda:0"),
        ("rim eval b --dataset voc", "voc20 voc21"),
        ("rim eval b --matcher ", "prototype knn ranking"),
        ("rim query b x --format labels,o", "labels,overlay"),
        ("rim query b x --background o", "off"),
        ("rim sql b --format p", "parquet"),
        ("rim sql b --tim", "--timeout"),
        ("rim compare-labels ade150 coco-s", "coco-stuff"),
        ("rim fetch --preset m", "miniature"),
        ("rim completion z", "zsh"),
        ("rim remove nobank h", ""),
    ],
)
def test_names_are_completed(
    line: str, expected: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert complete(line, monkeypatch, capfd) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rim remove {} ho", "house horse"),
        ("rim query {} x --categories house,h", "house,horse"),
        ("rim report {} --categories t", "traffic\\ light"),
    ],
)
def test_categories_are_those_of_the_bank(
    line: str,
    expected: str,
    bank: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert complete(line.format(bank), monkeypatch, capfd) == expected


def test_folders_of_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "phrase.txt").touch()
    found = complete(f"rim build x --source folder:{tmp_path}/ph", monkeypatch, capfd)
    assert found == f"folder:{tmp_path}/photos/"
    assert complete("rim build x --source folder:/no/where/x", monkeypatch, capfd) == ""


def test_completing_opens_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    complete(f"rim build x --log-json {tmp_path}/log --preset f", monkeypatch, capfd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_accepted_by_their_shells(run: Run, shell: str) -> None:
    script = run("completion", shell).out
    assert "_RIM_COMPLETE" in script
    assert run("completion", "--help").out.count("rim completion") >= 4
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(BASH is None, reason="no bash here")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["build", "vo"], "voc20\nvoc21\n"),
        # As bash cuts them.
        (["build", "x", "--set", "matching.matcher", "=", "k"], "knn\n"),
        (["build", "x", "--set", "matching.matcher", "="], "prototype\nknn\nranking\n"),
    ],
)
def test_in_bash(run: Run, tmp_path: Path, words: list[str], expected: str) -> None:
    program = tmp_path / "rim"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m rim "$@"\n')
    program.chmod(0o755)
    listed = " ".join(f"'{word}'" for word in words)
    line = "rim " + " ".join(words).replace(" = ", "=").replace(" =", "=")
    script = run("completion", "bash").out + (
        f"COMP_WORDS=(rim {listed}); COMP_CWORD={len(words)}; COMP_LINE='{line}'\n"
        f"COMP_POINT=${{#COMP_LINE}}; compopt() {{ :; }}\n"
        f'_rim_completion {program}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
    )
    repository = Path(__file__).parents[3]
    found = subprocess.run(
        [str(BASH), "--norc"],
        input=script,
        capture_output=True,
        text=True,
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert found.stdout == expected, found.stderr
