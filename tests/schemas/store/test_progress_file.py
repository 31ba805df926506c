"""A build in progress remembers its category ids, and keeps others out."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import BankDamaged, OutputError
from schemas.records import CategoryRecord
from schemas.settings import Settings
from schemas.store.lock import build_lock
from schemas.store.progress_file import BuildPlan, read_plan, remove_plan, write_plan
from schemas.store.sealed import seal

REPOSITORY = Path(__file__).resolve().parents[3]


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
    with pytest.raises(BankDamaged, match="not what was written"):
        read_plan(tmp_path)
    (tmp_path / "build.json").write_bytes(seal({"settings": 1}))
    with pytest.raises(BankDamaged, match="expected a build's plan"):
        read_plan(tmp_path)


def test_a_place_that_takes_no_plan(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").write_text("x")
    assert read_plan(tmp_path / "file") is None
    with pytest.raises(OutputError, match="cannot write"):
        write_plan(tmp_path / "file", make_plan(settings))
    with pytest.raises(OutputError, match="cannot write into"), build_lock(tmp_path / "file"):
        pass
