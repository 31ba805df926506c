"""Running the steps: one that fails leaves the others; what the exit status comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from rim.check.findings import Finding, NotApplicable, Outcome, StepResult, verdict
from rim.check.steps import AGREEMENT, LOADING, Step, run_check
from rim.check.workbench import Workbench, check_settings
from schemas.errors import UsageError

SETTINGS = check_settings("miniature")


def ends(finding: Finding | BaseException, on_miss: Outcome = Outcome.LOOKS_WRONG) -> Step:
    def run(bench: Workbench) -> Finding:
        if isinstance(finding, BaseException):
            raise finding
        return finding

    return Step("step", run, "nothing", on_miss)


FINE, ODD = ends(Finding("so")), ends(Finding("not so", fine=False))
BROKEN = ends(RuntimeError("first line\nsecond"))
SKIPPED = ends(NotApplicable("not here"))


def run(*steps: Step) -> list[StepResult]:
    return run_check(SETTINGS, device="cpu", offline=True, steps=steps)


@pytest.mark.parametrize(
    ("steps", "status", "text"),
    [
        ((FINE, FINE), 0, "all well"),
        ((FINE, SKIPPED), 0, "all well; skipped: step"),
        ((FINE, ODD, SKIPPED), 3, "works, but looks wrong: step; skipped: step"),
        ((ODD, BROKEN, FINE), 1, "does not work: step; looks wrong: step"),
        ((ends(Finding("wrong", fine=False), Outcome.BROKEN),), 1, "does not work: step"),
    ],
)
def test_the_worst_step_decides(steps: tuple[Step, ...], status: int, text: str) -> None:
    results = run(*steps)
    assert len(results) == len(steps)
    found = verdict(results)
    assert (found.exit_status, found.text) == (status, text)


def test_an_error_is_a_result_with_its_first_line() -> None:
    result = run(BROKEN)[0]
    assert result.found == "RuntimeError: first line"
    assert "second" in result.traceback
    assert result.seconds >= 0
    assert result.memory > 1e7


def test_an_interrupt_is_none() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(ends(KeyboardInterrupt()))


def test_a_model_that_is_missing_leaves_the_others(tmp_path: Path) -> None:
    models = SETTINGS.models
    gone = models.features.model_copy(update={"location": str(tmp_path / "gone")})
    settings = SETTINGS.model_copy(update={"models": models.model_copy(update={"features": gone})})
    steps = (
        *LOADING[:2],
        *(one for one in AGREEMENT if "=" in one.name and "diff" not in one.name),
    )
    results = run_check(settings, device="cpu", offline=True, steps=steps)
    found = {one.name: one.result for one in results}
    assert found == {
        "load features": "broken",
        "load segmenter": "fine",
        "features = transformers": "broken",
        "masks = SamPredictor": "fine",
        "text and image = CLIP": "fine",
    }
    assert "ModelError: models.features: " in results[0].found


def test_without_clip_its_step_is_skipped(tmp_path: Path) -> None:
    models = SETTINGS.models
    gone = models.text_image.model_copy(update={"location": str(tmp_path / "gone")})
    settings = SETTINGS.model_copy(
        update={"models": models.model_copy(update={"text_image": gone})}
    )
    result = run_check(settings, device="cpu", offline=True, steps=AGREEMENT[-1:])[0]
    assert result.result == "skipped"
    assert "only text evidence" in result.found


def test_a_device_that_is_not_there_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="found 'cuda:77'"):
        run_check(SETTINGS, device="cuda:77", offline=True, steps=())
