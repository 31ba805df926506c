"""Ways to share a device, found by trial on a pretended GPU."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foundation.sharing import SharedDevice, Way, shares
from foundation.stack import ModelStack
from schemas.errors import MemoryShort, ModelError
from schemas.settings import load_settings
from tests.card import CPU, GPU, Card, CardModel

BUILD_ROLES = ("text_to_image", "segmenter", "features")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is on a device: collecting garbage after every try would only take time."""
    monkeypatch.setattr("foundation.memory.give_back", lambda: None)
    monkeypatch.setattr("foundation.stack.give_back", lambda: None)


class Silent:
    """Models whose results nobody looks at."""

    dimension = 4

    def generate(self, *_: Any) -> None: ...

    def embed(self, *_: Any) -> None: ...

    def predict(self, *_: Any) -> Any:
        return type("Candidates", (), {"logits": [None]})

    def upsample(self, *_: Any) -> None: ...

    def extract(self, *_: Any) -> None: ...


def stack_on(
    memory: int, monkeypatch: pytest.MonkeyPatch, **models: tuple[int, int, int]
) -> tuple[ModelStack, dict[str, CardModel]]:
    """A stack on a card: models of 4, whose calls take 1 for every item; others as given."""
    stack = ModelStack(load_settings("miniature"), device="cpu")
    card = Card(memory)
    monkeypatch.setattr(stack, "device", GPU)
    monkeypatch.setattr(stack, "_shared", SharedDevice(GPU))
    monkeypatch.setattr(stack, "_memory", card)
    sizes = dict.fromkeys((*BUILD_ROLES, "text_image"), (4, 0, 1)) | models
    made = {role: CardModel(card, *size, inner=Silent()) for role, size in sizes.items()}

    def loading(model: CardModel) -> Callable[[Path], CardModel]:
        def load(path: Path) -> CardModel:
            model.device = CPU
            model.to(GPU)
            return model

        return load

    for role, model in made.items():
        monkeypatch.setattr(stack, f"_load_{role}", loading(model))
    return stack, made


def load(stack: ModelStack) -> None:
    for role in BUILD_ROLES:
        getattr(stack, role)


def test_ways_and_batches_are_tried_in_a_fixed_order() -> None:
    tried = [(share.way, share.batch) for share in shares(Way, 5)]
    assert tried == [(way, batch) for way in Way for batch in (5, 2, 1)]
    assert list(Way) == [Way.AHEAD, Way.TOGETHER, Way.TURNS]


@pytest.mark.parametrize(
    ("memory", "batch", "ahead", "turns"),
    [
        (12 + 16, 8, True, False),  # 8 generated beside 8 whose features are extracted
        (12 + 15, 4, True, False),
        (12 + 2, 1, True, False),
        (12 + 1, 1, False, False),  # one image at a time
        (12 + 0, 8, False, True),  # not even that beside all models
        (4 + 8, 8, False, True),
        (4 + 7, 4, False, True),
        (4 + 1, 1, False, True),
    ],
)
def test_the_fastest_share_that_fits_is_taken(
    memory: int, batch: int, ahead: bool, turns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, models = stack_on(memory, monkeypatch)
    load(stack)
    assert stack.batch_that_fits(8) == batch
    assert stack.works_ahead is ahead
    for role in (*BUILD_ROLES, *BUILD_ROLES):
        stack.activate(role)
        on_card = {name for name, model in models.items() if model.device == GPU}
        assert on_card == ({role} if turns else set(BUILD_ROLES))


def test_a_stage_after_generation_counts_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card of the fault: a batch can be generated beside all models, SAM cannot run there."""
    stack, models = stack_on(12 + 9, monkeypatch, segmenter=(4, 10, 0))
    load(stack)
    assert stack.batch_that_fits(8) == 8
    stack.activate("segmenter")
    assert [role for role, model in models.items() if model.device == GPU] == ["segmenter"]


def test_only_the_models_of_the_build_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, models = stack_on(4 + 1, monkeypatch)
    assert stack.batch_that_fits(8, ("features",)) == 1
    assert models["text_to_image"].moves == models["segmenter"].moves == 0


@pytest.mark.parametrize(
    ("models", "named"),
    [
        ({"text_to_image": (4, 9, 1)}, "text_to_image"),
        ({"segmenter": (4, 9, 1)}, "segmenter"),
        ({"features": (4, 9, 1)}, "features"),
        ({"features": (14, 0, 1)}, "features"),
    ],
)
def test_what_never_fits_is_one_error_with_ways_out(
    models: dict[str, tuple[int, int, int]], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, _ = stack_on(13, monkeypatch, **models)
    with pytest.raises(ModelError) as caught:
        stack.batch_that_fits(8)
    words = rf"models\.{named}: .*cuda:0.*--preset fast.*--device cpu"
    assert re.match(words, str(caught.value))


def test_the_error_names_the_size_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, _ = stack_on(12, monkeypatch, segmenter=(4, 9, 1))
    with pytest.raises(MemoryShort, match=r"CUDA out of memory.*one image of 64 x 64 ") as caught:
        stack.batch_that_fits(8)
    assert "generation.height" in str(caught.value)


def test_a_model_that_does_not_fit_beside_the_others_is_loaded_in_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack, models = stack_on(14, monkeypatch)
    load(stack)
    assert stack.text_image is not None
    assert not stack.works_ahead
    assert {role for role, model in models.items() if model.device == GPU} == {"text_image"}
    assert stack.batch_that_fits(8) == 8
    assert models["features"].device == GPU  # the stage that was tried last


def test_less_is_found_by_trial_until_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, _ = stack_on(12 + 16, monkeypatch)
    load(stack)
    batch = stack.batch_that_fits(4)
    seen = []
    while stack.can_take_less(batch):
        batch = stack.take_less(batch)
        seen.append((stack._shared.way, batch))
    assert seen == [
        *((Way.AHEAD, size) for size in (2, 1)),
        *((way, size) for way in (Way.TOGETHER, Way.TURNS) for size in (4, 2, 1)),
    ]


def test_memory_that_others_took_meanwhile_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, models = stack_on(12 + 16, monkeypatch)
    load(stack)
    assert stack.batch_that_fits(8) == 8
    models["features"].card.memory = 12 + 3
    assert stack.take_less(8) == 1
    assert stack.works_ahead
    models["features"].card.memory = 3
    with pytest.raises(MemoryShort):
        stack.take_less(1)


def test_on_a_cpu_nothing_is_tried_or_moved() -> None:
    stack = ModelStack(load_settings("miniature"), device="cpu")
    assert stack.batch_that_fits(25) == 25
    stack.activate("features")
    assert not stack.works_ahead
    assert stack._shared.models == {}
    assert stack.can_take_less(25)
    assert stack.take_less(25) == 12
    assert not stack.can_take_less(1)


def test_a_device_without_counters_does_not_work_ahead() -> None:
    device = SharedDevice(torch.device("mps"))
    assert [share.way for share in device.options(1)] == [Way.TOGETHER, Way.TURNS]


def photo(stack: ModelStack, points: int = 64) -> Callable[[], str]:
    """What a query does with a photo."""

    def work() -> str:
        stack.activate("features")
        stack.features.extract([np.zeros(1)])
        stack.activate("segmenter")
        stack.segmenter.embed(np.zeros(1))
        stack.segmenter.predict(None, np.zeros(points))  # type: ignore[arg-type]
        return "labelled"

    return work


@pytest.mark.parametrize(
    ("memory", "way", "parts"),
    [
        (8 + 64, Way.AHEAD, 1),
        (8 + 63, Way.AHEAD, 8),
        (8 + 8, Way.AHEAD, 8),
        (8 + 7, Way.TURNS, 8),
        (4 + 8, Way.TURNS, 8),
        (4 + 7, Way.TURNS, 64),
        (4 + 1, Way.TURNS, 64),
    ],
)
def test_a_query_takes_less_in_a_fixed_order(
    memory: int, way: Way, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, models = stack_on(memory, monkeypatch)
    assert stack.within_memory(photo(stack)) == "labelled"
    assert (stack._shared.way, models["segmenter"].parts) == (way, parts)
    moves = models["segmenter"].moves
    assert stack.within_memory(photo(stack)) == "labelled"  # what was found stays
    assert (stack._shared.way, models["segmenter"].parts) == (way, parts)
    assert models["segmenter"].moves == moves + (way is Way.TURNS)


def test_turns_come_before_very_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, models = stack_on(8 + 7, monkeypatch, segmenter=(4, 8, 0))
    stack.within_memory(photo(stack))
    assert (stack._shared.way, models["segmenter"].parts) == (Way.TURNS, 1)


def test_a_photo_that_never_fits_is_an_error_and_the_next_one_is_done_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack, models = stack_on(8 + 64, monkeypatch)
    with pytest.raises(MemoryShort, match=r"models\.segmenter: .*cuda:0.*--device cpu"):
        stack.within_memory(photo(stack, points=64 * 100))
    assert (stack._shared.way, models["segmenter"].parts) == (Way.AHEAD, 1)
    assert {models[role].device for role in ("segmenter", "features")} == {GPU}
    assert stack.within_memory(photo(stack)) == "labelled"


def test_other_errors_are_nobodys_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, _ = stack_on(100, monkeypatch)
    calls = []

    def work() -> None:
        calls.append(1)
        raise ValueError("shape")

    with pytest.raises(ValueError, match="shape"):
        stack.within_memory(work)
    assert calls == [1]
