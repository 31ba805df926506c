"""A build in progress remembers its category ids, and keeps others out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import BankDamaged, OutputError
from schemas.progress_file import BuildPlan, build_lock, read_plan, remove_plan, write_plan
from schemas.records import CategoryRecord
from schemas.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]


def make_plan(settings: Settings) -> BuildPlan:
    return BuildPlan(
        settings=settings.model_dump(mode="json"),
        build_hash=settings.build_hash(),
        vocabulary=(CategoryRecord(category_id=4, name="fish"),),
        background=True,
        next_category_id=5,
        images_per_category=50,
    )


def test_written_read_and_removed(tmp_path: Path, settings: Settings) -> None:
    bank = tmp_path / "bank"
    assert read_plan(bank) is None
    write_plan(bank, make_plan(settings))
    assert read_plan(bank) == make_plan(settings)
    remove_plan(bank)
    assert read_plan(bank) is None
    remove_plan(bank)


def test_a_plan_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text('{"settings": 1}')
    with pytest.raises(BankDamaged, match="expected a build's plan"):
        read_plan(tmp_path)


def test_a_place_that_takes_no_plan(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").write_text("x")
    assert read_plan(tmp_path / "file") is None
    with pytest.raises(OutputError, match="cannot write"):
        write_plan(tmp_path / "file", make_plan(settings))
    with pytest.raises(OutputError, match="cannot write into"), build_lock(tmp_path / "file"):
        pass


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with build_lock(tmp_path):
        second = build_lock(tmp_path)
        with pytest.raises(OutputError, match="another process is writing into"), second:
            pass
    with build_lock(tmp_path):
        pass


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from schemas.progress_file import build_lock\n"
        "with build_lock(pathlib.Path(sys.argv[1])): os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, check=False)
    assert ended.returncode == 9
    with build_lock(tmp_path):
        pass
