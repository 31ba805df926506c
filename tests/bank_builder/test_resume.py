"""Builds that go on: after an interrupt, or with more to make than before."""

from __future__ import annotations

from pathlib import Path

import pytest

from bank_builder.build import build_bank
from schemas.ids import pack_image_id
from schemas.store.bank import StoredBank
from schemas.store.manifests import commit_manifest, list_versions
from schemas.store.prune import prune
from schemas.store.shards import shards_folder
from schemas.store.verdicts import Verdict, verdicts_folder, write_verdicts
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import (
    StandInPainter,
    StandInStack,
    on_call,
    settings,
    shard_bytes,
)

VOCABULARY = vocabulary_from_names(["fish, carp", "owl"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank that was built in one go; to be looked at only."""
    out = tmp_path_factory.mktemp("undisturbed") / "bank"
    build_bank(VOCABULARY, out, settings(), StandInStack())
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished bank that may be changed."""
    build_bank(VOCABULARY, tmp_path / "bank", settings(), StandInStack())
    return tmp_path / "bank"


@pytest.mark.parametrize(
    ("number", "error"),
    [*((number, KeyboardInterrupt()) for number in range(8)), (5, SystemExit(1))],
)
def test_an_interrupted_build_goes_on_to_the_same_bytes(
    tmp_path: Path, undisturbed: Path, number: int, error: BaseException
) -> None:
    out = tmp_path / "bank"
    interrupted = StandInStack(StandInPainter(before=on_call(number, error)))
    with pytest.raises(type(error)):
        build_bank(VOCABULARY, out, settings(), interrupted)
    finished = shard_bytes(out)
    assert list_versions(out) == []

    resumed = StandInStack()
    report = build_bank(VOCABULARY, out, settings(), resumed)

    assert shard_bytes(out) == shard_bytes(undisturbed)
    assert finished.items() <= shard_bytes(out).items()
    assert report.reused_shards == len(finished) // 3
    assert resumed.text_to_image.image_count <= 8 - (number // 4 * 4 + number % 4 // 3 * 3)
    assert StoredBank(out).images_table().equals(StoredBank(undisturbed).images_table())
    assert not list((out / "shards").glob(".tmp-*"))


def test_an_interrupt_while_segmenting_keeps_the_finished_shards(tmp_path: Path) -> None:
    stack = StandInStack()
    calls = iter(range(100))

    def interrupt() -> None:
        if next(calls) == 5:
            raise KeyboardInterrupt

    stack.segmenter.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(), stack)

    assert build_bank(VOCABULARY, tmp_path, settings(), StandInStack()).reused_shards == 2


def test_a_finished_bank_stays_as_it_is_and_the_models_are_not_touched(out: Path) -> None:
    stack = StandInStack()
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    report = build_bank(VOCABULARY, out, settings(), stack)

    assert (report.version, report.changed, report.reused_shards) == (1, False, 4)
    assert (report.images, report.features) == (8, 16)
    assert stack.text_to_image.batches == []
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == files


def test_more_images_per_category_are_added_to_the_ones_there(out: Path) -> None:
    before = shard_bytes(out)
    stack = StandInStack()

    report = build_bank(VOCABULARY, out, settings(images_per_category=6), stack)

    assert (report.version, report.images, report.reused_shards) == (2, 12, 4)
    assert stack.text_to_image.image_count == 4
    assert before.items() <= shard_bytes(out).items()
    numbers = StoredBank(out).images_table(["category", "number"]).to_pylist()
    assert [row["number"] for row in numbers if row["category"] == "owl"] == list(range(6))
    assert StoredBank(out, version=1).images_table().num_rows == 8


def test_more_images_are_the_ones_that_a_larger_build_would_have_made(
    out: Path, tmp_path: Path
) -> None:
    larger = settings(images_per_category=6)
    build_bank(VOCABULARY, out, larger, StandInStack())
    build_bank(VOCABULARY, tmp_path / "at once", larger, StandInStack())

    assert StoredBank(out).images_table().equals(StoredBank(tmp_path / "at once").images_table())
    assert (
        StoredBank(out).features().embeddings
        == StoredBank(tmp_path / "at once").features().embeddings
    ).all()


def test_an_unfinished_build_that_gets_larger_keeps_its_shards(tmp_path: Path) -> None:
    stack = StandInStack(StandInPainter(before=on_call(3, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(images_per_category=2), stack)

    resumed = StandInStack()
    report = build_bank(VOCABULARY, tmp_path, settings(images_per_category=4), resumed)

    assert (report.images, report.reused_shards) == (8, 1)
    assert resumed.text_to_image.image_count == 6


def test_categories_are_added_and_the_others_shards_are_not_touched(out: Path) -> None:
    before = shard_bytes(out)
    larger = vocabulary_from_names(["ant", "owl", "fish, carp"])
    stack = StandInStack()

    report = build_bank(larger, out, settings(), stack)

    assert (report.version, report.images, report.reused_shards) == (2, 12, 4)
    assert {name for batch in stack.text_to_image.batches for name in batch} == {"ant"}
    assert before.items() <= shard_bytes(out).items()
    assert [(one.category_id, one.name) for one in StoredBank(out).categories] == [
        (0, "fish"),
        (1, "owl"),
        (2, "ant"),
    ]


def test_an_interrupted_addition_keeps_its_ids_and_leaves_the_bank_as_it_was(out: Path) -> None:
    larger = vocabulary_from_names(["fish, carp", "owl", "bee", "ant"])
    stack = StandInStack(StandInPainter(before=on_call(6, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(larger, out, settings(), stack)

    assert [one.name for one in StoredBank(out).categories] == ["fish", "owl"]
    assert build_bank(VOCABULARY, out, settings(), StandInStack()).changed is False
    reordered = vocabulary_from_names(["ant", "fish, carp", "owl", "bee"])
    report = build_bank(reordered, out, settings(), StandInStack())
    assert report.reused_shards == 6
    assert [(one.category_id, one.name) for one in StoredBank(out).categories[2:]] == [
        (2, "bee"),
        (3, "ant"),
    ]


def remove(out: Path, name: str) -> None:
    """Publishes a version without a category, its shards kept."""
    manifest = StoredBank(out).manifest
    records = tuple(
        one.model_copy(update={"removed": one.removed or one.name == name})
        for one in manifest.vocabulary
    )
    changes = {"version": manifest.version + 1, "vocabulary": records}
    commit_manifest(out, manifest.model_copy(update=changes))


def test_a_removed_category_that_comes_back_gets_a_new_id(out: Path) -> None:
    remove(out, "fish")
    owl = vocabulary_from_names(["owl"])
    assert build_bank(owl, out, settings(), StandInStack()).changed is False

    report = build_bank(VOCABULARY, out, settings(), StandInStack())

    assert (report.version, report.images) == (3, 8)
    assert [(one.category_id, one.name) for one in StoredBank(out).categories] == [
        (1, "owl"),
        (2, "fish"),
    ]
    assert StoredBank(out, version=1).images_table().num_rows == 8


def test_a_persons_verdicts_outlive_the_next_build(out: Path) -> None:
    manifest = StoredBank(out).manifest
    image_id = pack_image_id(0, "diffusion", 2)
    verdict = Verdict(image_id, "rejected", "blurred", "person")
    record = write_verdicts(verdicts_folder(out) / "000002.parquet", [verdict])
    commit_manifest(out, manifest.model_copy(update={"version": 2, "verdicts": record}))

    report = build_bank(VOCABULARY, out, settings(images_per_category=5), StandInStack())

    bank = StoredBank(out)
    assert (report.version, report.rejected) == (3, 1)
    assert bank.verdicts == (verdict,)
    assert image_id not in bank.features().image_id
    assert bank.index().count == len(bank.features().feature_id) == 18


def test_an_interrupted_build_of_other_categories_keeps_its_plan(tmp_path: Path) -> None:
    build_bank(vocabulary_from_names(["fish, carp"]), tmp_path, settings(), StandInStack())
    stack = StandInStack(StandInPainter(before=on_call(3, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(vocabulary_from_names(["fish, carp", "owl"]), tmp_path, settings(), stack)
    finished = len(list(shards_folder(tmp_path).glob("c00001-*")))
    assert finished == 1

    build_bank(vocabulary_from_names(["fish, carp", "boat"]), tmp_path, settings(), StandInStack())
    prune(tmp_path)

    again = StandInStack()
    names = ["fish, carp", "boat", "owl"]
    build_bank(vocabulary_from_names(names), tmp_path, settings(), again)
    assert again.text_to_image.image_count == 1  # 4 less the shard of 3
    assert not (tmp_path / "build.json").exists()
