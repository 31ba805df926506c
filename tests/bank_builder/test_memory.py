"""Batches that do not fit, models that share the memory, and work that is done ahead."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from numpy.typing import NDArray

from bank_builder.build import build_bank
from bank_builder.report import BuildProgress
from foundation.interfaces import GeneratedImage, Prompt
from schemas.store.bank import StoredBank
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


@dataclasses.dataclass
class SmallPainter(StandInPainter):
    """Has no memory for more than `most` images at a time, after the first `good` batches."""

    most: int = 1
    good: int = 0

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[GeneratedImage]:
        made = super().generate(prompts, seeds)
        if len(prompts) > self.most and len(self.batches) > self.good:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return made


def undisturbed(folder: Path) -> dict[str, bytes]:
    build_bank(VOCABULARY, folder, settings(batch_size=4), StandInStack())
    return shard_bytes(folder)


def sizes(bank: Path) -> list[int]:
    return [shard.batch_size for shard in StoredBank(bank).shards]


@pytest.mark.parametrize("works_ahead", [False, True])
@pytest.mark.parametrize("good", [0, 1, 2])
def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(
    tmp_path: Path, works_ahead: bool, good: int
) -> None:
    events: list[BuildProgress] = []
    stack = StandInStack(SmallPainter(good=good), works_ahead=works_ahead)

    report = build_bank(
        VOCABULARY, tmp_path / "a", settings(batch_size=4), stack, progress=events.append
    )

    assert (report.images, report.accepted, report.failed) == (8, 8, 0)
    assert shard_bytes(tmp_path / "a") == undisturbed(tmp_path / "b")
    assert max(event.done for event in events) == events[-1].done == 8
    assert sizes(tmp_path / "a")[-1] == 1


def test_a_stage_after_generation_that_has_no_memory_halves_the_batch_too(tmp_path: Path) -> None:
    stack = StandInStack()
    calls = iter(range(100))

    def before(*_: NDArray) -> None:
        if next(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    stack.features.before = before
    report = build_bank(VOCABULARY, tmp_path / "a", settings(batch_size=4), stack)

    assert report.failed == 0
    assert sizes(tmp_path / "a") == [2, 2, 2, 2]
    assert shard_bytes(tmp_path / "a") == undisturbed(tmp_path / "b")


def test_one_image_without_memory_is_an_image_that_failed(tmp_path: Path) -> None:
    painter = StandInPainter(before=on_call(1, torch.OutOfMemoryError("CUDA out of memory")))

    report = build_bank(VOCABULARY, tmp_path, settings(batch_size=1), StandInStack(painter))

    assert (report.accepted, report.failed) == (7, 1)
    reason = StoredBank(tmp_path).images_table().to_pylist()[1]["reason"]
    assert reason == "generating failed: OutOfMemoryError: CUDA out of memory"


def test_the_batch_is_no_larger_than_what_was_found_to_fit(tmp_path: Path) -> None:
    stack = StandInStack(fits=2)
    build_bank(VOCABULARY, tmp_path, settings(batch_size=4), stack)
    assert max(map(len, stack.text_to_image.batches)) == 2
    assert sizes(tmp_path) == [2, 2, 2, 2]


def test_each_model_is_asked_for_before_its_stage(tmp_path: Path) -> None:
    stack = StandInStack()
    build_bank(VOCABULARY, tmp_path, settings(batch_size=4), stack)
    assert stack.activated == ["text_to_image", "segmenter", "features"] * 4


def test_working_ahead_makes_the_same_bank(tmp_path: Path) -> None:
    stack = StandInStack(works_ahead=True)
    build_bank(VOCABULARY, tmp_path / "a", settings(batch_size=4), stack)
    assert shard_bytes(tmp_path / "a") == undisturbed(tmp_path / "b")


def test_working_ahead_a_bad_image_costs_only_itself(tmp_path: Path) -> None:
    from bank_builder.sources.diffusion import image_seed

    bad = image_seed(0, "fish", 1)
    stack = StandInStack(StandInPainter(before=on_seeds(bad)), works_ahead=True)
    assert build_bank(VOCABULARY, tmp_path, settings(), stack).failed == 1


def test_working_ahead_an_interrupt_keeps_finished_shards(tmp_path: Path) -> None:
    painter = StandInPainter(before=on_call(6, KeyboardInterrupt()))
    stack = StandInStack(painter, works_ahead=True)
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path / "a", settings(batch_size=4), stack)
    assert len(list((tmp_path / "a" / "shards").glob("c*"))) == 2

    report = build_bank(VOCABULARY, tmp_path / "a", settings(batch_size=4), StandInStack())

    assert report.reused_shards == 2
    assert shard_bytes(tmp_path / "a") == undisturbed(tmp_path / "b")
