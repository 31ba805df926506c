"""`rim check` as a command: once for real on the miniature stack, the rest with made-up results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rim.check import steps, workbench
from rim.check.findings import Outcome, StepResult
from tests.rim.conftest import Run

Patch = pytest.MonkeyPatch


@pytest.mark.slow
def test_all_is_well_on_the_miniature(run: Run, tmp_path: Path, monkeypatch: Patch) -> None:
    # Fewer and quicker images than a person gets: the way is the same.
    monkeypatch.setattr(workbench, "IMAGES", 2)
    monkeypatch.setattr(workbench, "MOST_STEPS", 6)
    outcome = run("check", "--preset", "miniature", "--out", tmp_path / "out", "--json")
    told = outcome.json()
    found = {one["name"]: one["result"] for one in told["steps"]}
    assert found == {step.name: "fine" for step in steps.STEPS} | {
        "label photographs": "skipped"
    }, outcome.err
    assert outcome.status == 0
    assert told["text"] == "all well; skipped: label photographs"
    assert told == json.loads((tmp_path / "out" / "rim-check.json").read_text())
    assert all(one["seconds"] >= 0 and one["memory"] > 0 for one in told["steps"])
    page = (tmp_path / "out" / "index.html").read_text()
    images = re.findall(r'src="([^"]+)"', page)
    assert len(images) >= 6 + workbench.FEWEST_CATEGORIES
    assert all((tmp_path / "out" / image).is_file() for image in images)
    lines = outcome.err.splitlines()
    assert lines[0].startswith("step ")
    for number, name in enumerate(found):
        assert any(line.startswith(f"{name}  ") for line in lines[number + 1 :])
    assert lines[-1].endswith("index.html: all well; skipped: label photographs")


def saying(*made: StepResult) -> Callable[..., list[StepResult]]:
    """Stands for `run_check`."""

    def run_check(settings: Any, **given: Any) -> list[StepResult]:
        for one in made:
            given["on_start"](one.name)
            given["on_step"](one)
        return list(made)

    return run_check


def result(name: str, what: str) -> StepResult:
    return StepResult(name, Outcome(what), "so", "this", 1.25, 2 * 10**9)


@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("fine", 0, "all well"),
        ("looks wrong", 3, "works, but looks wrong: b"),
        ("broken", 1, "does not work: b"),
    ],
)
def test_exit_status_and_table(
    what: str, status: int, said: str, run: Run, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(steps, "run_check", saying(result("a", "fine"), result("b", what)))
    monkeypatch.chdir(tmp_path)
    outcome = run("check")
    assert outcome.status == status
    lines = outcome.out.splitlines()
    assert lines[0].split() == [*("step", "seconds", "memory", "result", "found", "(expected)")]
    assert lines[2].split() == ["b", "1.2", "2.00", "GB", *what.split(), "so", "(this)"]
    assert outcome.err == f"rim-check/index.html: {said}\n"
    assert (tmp_path / "rim-check" / "index.html").is_file()


def test_a_folder_with_other_things_is_refused_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: Patch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(steps, "run_check", None)
    outcome = run("check", "--out", tmp_path)
    assert outcome.status == 2
    assert "found 'notes.txt'" in outcome.err


def test_a_wrong_preset_is_a_wrong_call(run: Run, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("check", "--preset", "papre")
    assert outcome.status == 2
    assert "did you mean paper?" in outcome.err
    assert not list(tmp_path.iterdir())
