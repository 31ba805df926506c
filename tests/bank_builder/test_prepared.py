"""A prepared build: settled once, and again only if its folder has changed when it runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bank_builder.build import build_bank, prepare_addition, prepare_build
from bank_builder.report import BuildProgress
from schemas.errors import BankError
from schemas.records import ModelRecord
from schemas.store.bank import StoredBank
from schemas.store.manifests import list_versions
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import (
    StandInPainter,
    StandInStack,
    on_call,
    settings,
    shard_bytes,
)

VOCABULARY = vocabulary_from_names(["fish, carp", "owl"])


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[None]]:
    """Counts the calls of a function by its dotted name."""

    def counted(name: str) -> list[None]:
        module, _, function = name.rpartition(".")
        original = getattr(__import__(module, fromlist=[function]), function)
        calls: list[None] = []

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(None)
            return original(*arguments, **options)

        monkeypatch.setattr(name, call)
        return calls

    return counted


@pytest.fixture
def uncommitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All shards of a first build that was interrupted while it was committed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bank_builder.commit.commit_manifest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_bank(VOCABULARY, tmp_path / "bank", settings(), StandInStack())
    assert list_versions(tmp_path / "bank") == []
    return tmp_path / "bank"


class Unloadable(StandInStack):
    """Weights that are found, and must not be loaded nor tried."""

    def batch_that_fits(self, *_: object, **__: object) -> int:
        """Not asked for."""
        raise AssertionError("the memory was tried")

    def __getattribute__(self, name: str) -> Any:
        if name in ("text_to_image", "segmenter", "features"):
            raise AssertionError(f"the {name} was loaded")
        return super().__getattribute__(name)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_build_plans_once_and_lists_the_disk_twice(
    tmp_path: Path, count: Callable[[str], list[None]], overwrite: bool
) -> None:
    interrupted = StandInStack(StandInPainter(before=on_call(5, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(), interrupted)
    plans, works = count("bank_builder.build.plan_build"), count("bank_builder.plan.list_work")
    lists = count("bank_builder.output_folder.finished_folders")

    report = build_bank(VOCABULARY, tmp_path, settings(), StandInStack(), overwrite=overwrite)

    assert (report.images, report.reused_shards) == (8, 0 if overwrite else 2)
    assert (len(plans), len(works)) == (1, 1)
    assert len(lists) == (1 if overwrite else 2)


def test_a_missing_version_is_committed_without_loading_a_model(uncommitted: Path) -> None:
    events: list[BuildProgress] = []

    report = build_bank(VOCABULARY, uncommitted, settings(), Unloadable(), progress=events.append)

    assert (report.version, report.images, report.reused_shards) == (1, 8, 4)
    assert [event.stage for event in events] == ["weights", "index"]
    assert set(StoredBank(uncommitted).manifest.models) == {
        *("text_to_image", "segmenter", "features")
    }


def test_a_shard_that_goes_before_the_lock_is_made_again(uncommitted: Path) -> None:
    class Slow(StandInStack):
        """While the weights are read, a shard is deleted."""

        def fingerprints(self, roles: Sequence[str] = ()) -> dict[str, ModelRecord]:
            shutil.rmtree(next((uncommitted / "shards").glob("c00001-*")))
            return super().fingerprints(roles)

    before = shard_bytes(uncommitted)
    prepared = prepare_build(VOCABULARY, uncommitted, settings())
    assert (prepared.image_count, prepared.images_to_make) == (8, 0)

    report = prepared.run(Slow())

    assert (report.images, report.reused_shards) == (8, 3)
    assert shard_bytes(uncommitted) == before


def test_a_bank_that_is_complete_when_the_build_runs_stays_as_it_is(tmp_path: Path) -> None:
    prepared = prepare_build(VOCABULARY, tmp_path, settings())
    build_bank(VOCABULARY, tmp_path, settings(), StandInStack())
    stack = StandInStack()

    report = prepared.run(stack)

    assert (report.version, report.changed) == (1, False)
    assert stack.text_to_image.batches == []
    assert not (tmp_path / "build.json").exists()


def test_a_bank_that_differs_when_the_build_runs_is_refused(tmp_path: Path) -> None:
    prepared = prepare_build(VOCABULARY, tmp_path, settings())
    build_bank(vocabulary_from_names(["ant"]), tmp_path, settings(), StandInStack())

    with pytest.raises(BankError, match="the category 'ant' is missing"):
        prepared.run(StandInStack())

    assert [one.name for one in StoredBank(tmp_path).categories] == ["ant"]


def test_an_addition_takes_the_ids_that_are_free_when_it_runs(tmp_path: Path) -> None:
    build_bank(VOCABULARY, tmp_path, settings(), StandInStack())
    prepared = prepare_addition(["ant"], tmp_path)
    prepare_addition(["bee"], tmp_path).run(StandInStack())

    prepared.run(StandInStack())

    names = [(one.category_id, one.name) for one in StoredBank(tmp_path).categories]
    assert names == [(0, "fish"), (1, "owl"), (2, "bee"), (3, "ant")]
