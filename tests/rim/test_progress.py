"""Progress: plain lines without a terminal; images of earlier builds are not counted as fast."""

from __future__ import annotations

import re

import pytest

from bank_builder.progress import BuildProgress
from rim.progress import build_progress, counter


def _event(done: int, stage: str = "references", category: str | None = "fish") -> BuildProgress:
    return BuildProgress(stage, done, 10, category, done, 0, 0, 1.0)


def test_a_counter_ends_with_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    with counter("labelling", 2) as advance:
        advance()
        advance()
    assert re.fullmatch(r"labelling 2/2 [\d.]+/s 0 s left\n", capfd.readouterr().err)


def test_reused_images_do_not_count_in_the_rate(capfd: pytest.CaptureFixture[str]) -> None:
    with build_progress() as progress:
        progress(_event(10, category=None))
    assert capfd.readouterr().err == "images 10/10 0.0/s references accepted 100%\n"


def test_a_build_names_stage_and_category(capfd: pytest.CaptureFixture[str]) -> None:
    with build_progress() as progress:
        progress(_event(0, category=None))
        progress(_event(10))
    assert capfd.readouterr().err.endswith("references fish accepted 100%\n")
