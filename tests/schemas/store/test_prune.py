"""Pruning deletes what no remaining version needs, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schemas.errors import BankDamaged, BankError, OutputError, UsageError
from schemas.settings import Settings
from schemas.store.bank import StoredBank
from schemas.store.files import temporary_path
from schemas.store.lock import build_lock
from schemas.store.manifests import (
    PLAN_NAME,
    commit_manifest,
    list_versions,
    read_manifest,
    write_plan,
)
from schemas.store.prune import prune
from schemas.store.shards import shard_folder
from schemas.store.verify import inspect_bank
from tests.schemas.examples import accepted_row, make_plan, shard_spec, write_rows


@pytest.fixture
def grown(bank_path: Path) -> Path:
    """Version 3 has a longer shard of fish in place of the old one, and no index."""
    last = read_manifest(bank_path)
    rows = [accepted_row(1, "fish", number) for number in range(4)]
    fish = write_rows(bank_path, shard_spec(1, "fish", 0, 4), rows)
    house = [shard for shard in last.shards if shard.category == "house"]
    changes = {"version": 3, "shards": (*house, fish), "index": None, "prototypes": None}
    commit_manifest(bank_path, last.model_copy(update=changes))
    return bank_path


def files_of(bank: Path) -> set[str]:
    return {
        str(path.relative_to(bank))
        for path in bank.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_all_versions_are_kept_unless_it_is_said(grown: Path) -> None:
    before = files_of(grown)
    assert (prune(grown).paths, prune(grown, keep=3).versions) == ((), ())
    assert files_of(grown) == before


def test_old_versions_go_with_what_only_they_need(grown: Path) -> None:
    old_fish = next(s for s in read_manifest(grown, 2).shards if s.category == "fish")
    before = files_of(grown)
    pruned = prune(grown, keep=1)
    assert pruned.versions == (1, 2)
    gone = before - files_of(grown)
    folder = f"shards/{old_fish.name}"
    assert gone == {
        "manifests/000001.json",
        "manifests/000002.json",
        "index/000002.faiss",
        "index/000002.prototypes.parquet",
        *(f"{folder}/{name}" for name in ("shard.json", "images.parquet")),
        *(f"{folder}/{name}" for name in ("pixels.parquet", "features.parquet")),
    }
    assert pruned.bytes > 0
    assert list_versions(grown) == [3]
    assert inspect_bank(grown).damages == ()
    assert StoredBank(grown).images_table().num_rows == 7


def test_what_interrupted_builds_left_goes(grown: Path) -> None:
    before = files_of(grown)
    for folder in ("", "shards", "index", "manifests"):
        path = temporary_path(grown / folder, "x")
        path.mkdir() if folder == "shards" else path.write_text("x")
    (grown / "index" / "000009.faiss").write_text("x")
    (grown / "manifests" / "000009.json.damaged").write_text("x")
    shutil.copytree(
        next(grown.glob("shards/c*")), grown / "shards" / "c00007-diffusion-n00000-00003-0123abcd"
    )
    assert len(prune(grown).paths) == 7
    assert files_of(grown) == before


def test_finished_shards_of_an_unfinished_build_are_spared(grown: Path, settings: Settings) -> None:
    rows = [accepted_row(1, "fish", number) for number in range(4, 6)]
    record = write_rows(grown, shard_spec(1, "fish", 4, 6), rows)
    vocabulary = read_manifest(grown).vocabulary
    write_plan(grown, make_plan(settings).model_copy(update={"vocabulary": vocabulary}))
    assert prune(grown).paths == ()
    assert shard_folder(grown, record).is_dir()
    (grown / PLAN_NAME).unlink()
    assert prune(grown).paths == (shard_folder(grown, record),)


def test_files_of_another_program_stay(grown: Path) -> None:
    for name in ("notes.txt", "index/notes.faiss", "shards/photos", "manifests/README.json"):
        (grown / name).write_text("x")
    assert prune(grown, keep=1).versions == (1, 2)
    for name in ("notes.txt", "index/notes.faiss", "shards/photos", "manifests/README.json"):
        assert (grown / name).read_text() == "x"


def test_nothing_is_deleted_while_what_is_needed_is_unknown(grown: Path) -> None:
    before = files_of(grown)
    manifest = grown / "manifests" / "000002.json"
    good = manifest.read_bytes()
    manifest.write_bytes(good[:-1])
    with pytest.raises(BankDamaged, match=r"000002\.json"):
        prune(grown)
    manifest.write_bytes(good)
    (grown / PLAN_NAME).write_text("{}")
    with pytest.raises(BankDamaged, match=r"build\.json"):
        prune(grown, keep=1)
    (grown / PLAN_NAME).unlink()
    assert files_of(grown) == before


def test_refused(grown: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one version"):
        prune(grown, keep=0)
    with pytest.raises(BankError, match="expected a bank"):
        prune(tmp_path / "nothing")
    with build_lock(grown), pytest.raises(OutputError, match="another process"):
        prune(grown)
