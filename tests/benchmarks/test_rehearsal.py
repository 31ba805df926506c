"""The rehearsal's commands, on a stack that takes seconds instead of minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.full_size.rehearsal import StageFailed, rehearse, run
from benchmarks.full_size.snapshot import PRESET
from schemas.bank import Bank
from schemas.resources import preset_path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_all_commands_run_and_leave_what_they_should(tmp_path: Path) -> None:
    text = preset_path("miniature").read_text(encoding="utf-8")
    text = text.replace('"miniature/', f'"{REPOSITORY}/data/miniature/')
    start, end = text.index("known_categories"), text.index("[models.text_to_image]")
    text = text[:start] + text[end:].replace("[generation]", "[generation]\nsteps = 2")
    text = text.replace("[generation]", "[generation]\nimages_per_category = 1")
    text = text.replace("min_quality = 0.4", "min_quality = 0.0\nmin_agreement = 0.0\nmin_area = 0")
    (tmp_path / PRESET).write_text(text, encoding="utf-8")

    stages = rehearse(tmp_path)

    assert [stage.name for stage in stages] == ["build", "query", "sql", "verify"]
    assert all(stage.peak_gib > 0.01 for stage in stages)
    assert [record.name for record in Bank(tmp_path / "bank").categories] == [
        "house",
        "traffic light",
    ]
    assert (tmp_path / "labels" / "photo.json").exists()


def test_a_command_that_fails_ends_it() -> None:
    with pytest.raises(StageFailed, match="build: exit status 2"):
        run("build", "-m", "rim", "build", "--no-such-option")
