"""Images that fail and shards that are damaged, and making them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bank_builder.build import build_bank
from bank_builder.sources.diffusion import image_seed
from schemas.ids import pack_image_id
from schemas.store.bank import StoredBank
from schemas.store.verify import inspect_bank
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import (
    StandInPainter,
    StandInStack,
    on_call,
    on_seeds,
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


def test_a_failed_image_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    bad = image_seed(0, "fish", 1)
    stack = StandInStack(StandInPainter(before=on_seeds(bad)))

    report = build_bank(VOCABULARY, tmp_path, settings(), stack)

    image_id = pack_image_id(0, "diffusion", 1)
    assert (report.accepted, report.failed, report.failed_images) == (7, 1, (image_id,))
    row = StoredBank(tmp_path).images_table().to_pylist()[1]
    assert (row["status"], row["seed"], row["mask"]) == ("failed", bad, None)
    assert row["reason"] == "generating failed: RuntimeError: no image for fish"
    assert StoredBank(tmp_path).png([image_id]) == {}


def test_an_image_that_cannot_be_segmented_keeps_its_image(tmp_path: Path) -> None:
    stack = StandInStack()
    calls = iter(range(100))

    def before() -> None:
        if next(calls) == 0:
            raise ValueError("mask decoder")

    stack.segmenter.before = before
    report = build_bank(VOCABULARY, tmp_path, settings(), stack)

    row = StoredBank(tmp_path).images_table().to_pylist()[0]
    assert report.failed == 1
    assert row["reason"] == "segmenting failed: ValueError: mask decoder"
    assert row["image_id"] in StoredBank(tmp_path).png([row["image_id"]])


def test_an_image_without_usable_tokens_fails_alone(tmp_path: Path) -> None:
    stack = StandInStack()
    calls = iter(range(100))

    def before(image: object) -> None:
        if next(calls) in (0, 1):
            raise FloatingPointError("overflow")

    stack.features.before = before
    report = build_bank(VOCABULARY, tmp_path, settings(), stack)

    statuses = StoredBank(tmp_path).images_table(["status", "reason"]).to_pylist()
    assert report.failed == 1
    assert statuses[0]["reason"] == "extracting features failed: FloatingPointError: overflow"
    assert statuses[1]["status"] == "accepted"


def test_failed_images_are_made_again_only_if_asked_for(tmp_path: Path, undisturbed: Path) -> None:
    stack = StandInStack(StandInPainter(before=on_seeds(image_seed(0, "fish", 1))))
    build_bank(VOCABULARY, tmp_path, settings(), stack)
    assert build_bank(VOCABULARY, tmp_path, settings(), StandInStack()).changed is False

    again = StandInStack()
    report = build_bank(VOCABULARY, tmp_path, settings(), again, retry_failed=True)

    assert (report.version, report.failed, report.accepted, report.reused_shards) == (2, 0, 8, 3)
    assert again.text_to_image.image_count == 3  # the shard with the failed image
    assert StoredBank(tmp_path).images_table().equals(StoredBank(undisturbed).images_table())
    assert (
        StoredBank(tmp_path, version=1).images_table(["status"])["status"].to_pylist()[1]
        == "failed"
    )
    third = build_bank(VOCABULARY, tmp_path, settings(), StandInStack(), retry_failed=True)
    assert third.changed is False


def test_an_interrupted_retry_goes_on(tmp_path: Path) -> None:
    bad = on_seeds(image_seed(0, "fish", 1), image_seed(0, "owl", 0))
    build_bank(VOCABULARY, tmp_path, settings(), StandInStack(StandInPainter(before=bad)))
    stack = StandInStack(StandInPainter(before=on_call(4, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(), stack, retry_failed=True)
    assert StoredBank(tmp_path).manifest.version == 1

    again = StandInStack()
    report = build_bank(VOCABULARY, tmp_path, settings(), again, retry_failed=True)

    assert (report.failed, report.version) == (0, 2)
    assert again.text_to_image.image_count == 3


def test_a_shard_of_the_bank_that_was_cut_short_is_made_again(
    tmp_path: Path, undisturbed: Path
) -> None:
    out = tmp_path
    build_bank(VOCABULARY, out, settings(), StandInStack())
    victim = sorted((out / "shards").glob("*/pixels.parquet"))[1]
    victim.write_bytes(victim.read_bytes()[:-100])

    report = build_bank(VOCABULARY, out, settings(), StandInStack())

    # The same bytes again: the bank is whole as it was, and needs no new version.
    assert (report.changed, report.version) == (False, 1)
    assert shard_bytes(out) == shard_bytes(undisturbed)
    assert inspect_bank(out).damages == ()
    assert not (out / "build.json").exists()


def test_a_damaged_shard_of_an_unfinished_build_is_made_again(
    tmp_path: Path, undisturbed: Path
) -> None:
    stack = StandInStack(StandInPainter(before=on_call(7, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(), stack)
    victim = next((tmp_path / "shards").glob("*/features.parquet"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)

    report = build_bank(VOCABULARY, tmp_path, settings(), StandInStack())

    assert report.reused_shards == 2
    assert shard_bytes(tmp_path) == shard_bytes(undisturbed)
