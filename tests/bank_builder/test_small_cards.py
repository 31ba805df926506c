"""Builds on GPUs of any size: all images are made, or one error comes before anything is written.

The GPU is pretended (`tests.card`): it counts the weights that are on it and what every call takes,
also of the thread that makes images ahead.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bank_builder.build import build_bank
from bank_builder.sources.folder import FolderSource
from foundation.sharing import Way
from schemas.errors import MemoryShort
from schemas.store.bank import StoredBank
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.card_stack import CardStack, Needs
from tests.bank_builder.photos import fill
from tests.bank_builder.stand_in import settings
from tests.card import Card

VOCABULARY = vocabulary_from_names(["fish, carp", "owl"])
# MB, as the full-size models took them when SAM computed all of a photo's attention at once and
# the safety checker and SAM's weights were float32.
ONCE = (Needs(3670, 300, 500), Needs(2560, 2700), Needs(1220, 0, 60))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is on a device: collecting garbage after every try would only take time."""
    monkeypatch.setattr("foundation.memory.give_back", lambda: None)
    monkeypatch.setattr("foundation.stack.give_back", lambda: None)


def build(out: Path, card: Card, needs: Sequence[Needs], batch: int) -> CardStack:
    chosen = settings(batch_size=batch)
    stack = CardStack(chosen, card, needs)
    report = build_bank(VOCABULARY, out, chosen, stack)
    assert (report.images, report.accepted, report.failed) == (8, 8, 0)
    return stack


def batches(out: Path) -> set[int]:
    return {shard.batch_size for shard in StoredBank(out).shards}


def test_a_card_of_ten_gigabytes_makes_every_image(tmp_path: Path) -> None:
    """A batch can be generated beside all models; SAM has no room beside them, whatever the batch:
    models take turns, with the whole batch.
    """
    stack = build(tmp_path, Card(9400), ONCE, batch=4)
    assert stack._shared.way is Way.TURNS
    assert batches(tmp_path) == {4}
    assert stack.stand_ins["text_to_image"].largest == 4


@pytest.mark.parametrize(
    ("memory", "way", "batch"),
    [
        (13000, Way.AHEAD, 4),
        (11500, Way.AHEAD, 2),
        (10600, Way.TOGETHER, 4),
        (6000, Way.TURNS, 4),
        (5260, Way.TURNS, 2),
    ],
)
def test_every_card_has_its_way(tmp_path: Path, memory: int, way: Way, batch: int) -> None:
    stack = build(tmp_path, Card(memory), ONCE, batch=4)
    assert (stack._shared.way, batches(tmp_path)) == (way, {batch})


def test_a_card_too_small_for_one_image_is_an_error_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(MemoryShort, match=r"models\.segmenter: .*32 x 32.*--device cpu"):
        build(tmp_path / "bank", Card(5259), ONCE, batch=4)
    assert not (tmp_path / "bank").exists()


def test_a_bank_that_is_to_be_replaced_stays_where_the_new_one_cannot_be_built(
    tmp_path: Path,
) -> None:
    build(tmp_path, Card(13000), ONCE, batch=4)
    other = settings(batch_size=4, steps=3)
    with pytest.raises(MemoryShort):
        build_bank(VOCABULARY, tmp_path, other, CardStack(other, Card(100), ONCE), overwrite=True)
    assert StoredBank(tmp_path).manifest.version == 1


def test_photos_are_tried_without_the_generator(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", "fish", "owl", count=3)
    stack = CardStack(settings(), Card(3900), [ONCE[0], Needs(1000, 2700), Needs(1220, 0, 60)])
    report = build_bank(
        VOCABULARY, tmp_path / "bank", settings(), stack, source=FolderSource(folder)
    )
    assert (report.images, report.failed) == (6, 0)
    assert stack._shared.way is Way.TURNS
    assert stack.stand_ins["text_to_image"].moves == 0


def test_memory_that_is_taken_during_a_build_costs_no_image(tmp_path: Path) -> None:
    """Another program comes after the trial: the rest is made in smaller batches, or in turns."""
    card = Card(13000)
    chosen = settings(batch_size=4)
    stack = CardStack(chosen, card, ONCE)

    def taken(progress: object) -> None:
        card.memory = 9400

    report = build_bank(VOCABULARY, tmp_path, chosen, stack, progress=taken)
    assert (report.accepted, report.failed) == (8, 0)
    assert stack._shared.way is Way.TURNS


BYTES = st.integers(0, 40)
MODEL = st.builds(Needs, BYTES, BYTES, st.integers(0, 6))


@hypothesis_settings(max_examples=20, deadline=None)
@given(memory=st.integers(1, 200), needs=st.tuples(MODEL, MODEL, MODEL), batch=st.integers(1, 5))
def test_all_images_are_made_or_nothing_is_written(
    memory: int, needs: tuple[Needs, ...], batch: int
) -> None:
    one = max(need.weights + need.fixed + need.each for need in needs)
    with tempfile.TemporaryDirectory() as folder:
        out, card = Path(folder) / "bank", Card(memory)
        if memory >= one:
            stack = build(out, card, needs, batch)
            assert card.taken == sum(
                need.weights
                for need, model in zip(needs, stack.stand_ins.values(), strict=True)
                if model.device == stack.device
            )
        else:
            with pytest.raises(MemoryShort):
                build(out, card, needs, batch)
            assert not out.exists()


def test_the_same_card_gives_the_same_bank(tmp_path: Path) -> None:
    needs = [dataclasses.replace(one) for one in ONCE]
    first, second = (build(tmp_path / name, Card(10600), needs, batch=4) for name in "ab")
    assert first._shared.way is second._shared.way
    assert batches(tmp_path / "a") == batches(tmp_path / "b") == {4}
