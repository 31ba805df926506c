"""What fits into a device's memory, and models that have to share it.

No GPU is needed: the models are dummies that know where they are and what they take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from foundation.memory import is_out_of_memory, largest_that_fits
from foundation.stack import ModelStack
from schemas.errors import ModelError
from schemas.settings import load_settings

GPU = torch.device("cuda", 0)


@dataclass
class Card:
    """A GPU's memory in units of pictures: what the models on it and a batch may take."""

    memory: int
    models: list[Model] = field(default_factory=list)

    def check(self, more: int = 0) -> None:
        if sum(model.size for model in self.models if model.device == GPU) + more > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory")


@dataclass
class Model:
    """A model that takes `size`; makes pictures that take one each."""

    card: Card
    size: int
    device: torch.device = GPU

    def __post_init__(self) -> None:
        self.card.models.append(self)

    def to(self, device: torch.device) -> None:
        self.device = device
        if device == GPU:
            self.card.check()

    def shortened(self, steps: int) -> Model:
        assert steps == 1
        return self

    def generate(self, prompts: Sequence[object], seeds: Sequence[int]) -> None:
        assert self.device == GPU
        self.card.check(more=len(seeds))


ROLES = ("text_to_image", "segmenter", "features")


def stack_on(memory: int, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelStack, dict[str, Model]]:
    """A stack of three models of size 4 on a card, as they are after loading."""
    stack = ModelStack(load_settings("miniature"), device="cpu")
    monkeypatch.setattr(stack, "device", GPU)
    card = Card(memory)
    models = {role: Model(card, 4) for role in ROLES}
    stack._loaded.update(models)
    return stack, models


@pytest.mark.parametrize(("memory", "batch"), [(100, 25), (24, 12), (18, 6), (13, 1)])
def test_the_batch_is_halved_until_it_fits_beside_all_models(
    memory: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, _ = stack_on(memory, monkeypatch)
    assert stack.batch_that_fits(25) == batch
    assert stack.works_ahead


def test_models_share_a_card_that_is_too_small_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, models = stack_on(12, monkeypatch)
    assert stack.batch_that_fits(8) == 8
    assert not stack.works_ahead
    for role in (*ROLES, *ROLES):
        stack.activate(role)
        on_card = {name for name, model in models.items() if model.device == GPU}
        assert on_card == {role}


def test_a_card_too_small_for_one_picture_is_an_error_with_ways_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack, _ = stack_on(4, monkeypatch)
    with pytest.raises(ModelError, match=r"64 x 64 does not fit .*--preset fast.*--device cpu"):
        stack.batch_that_fits(8)


def test_a_model_that_does_not_fit_beside_the_others_is_loaded_in_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack, models = stack_on(14, monkeypatch)

    def load(path: Path) -> Model:
        models["text_image"].card.check(more=4)
        return models["text_image"]

    models["text_image"] = Model(models["features"].card, 4, torch.device("cpu"))
    monkeypatch.setattr(stack, "_load_text_image", load)
    assert stack.text_image is not None
    assert not stack.works_ahead
    assert all(models[role].device == torch.device("cpu") for role in ROLES)
    assert stack.batch_that_fits(8) == 8
    assert models["text_to_image"].device == GPU


def test_on_a_cpu_nothing_is_tried_or_moved() -> None:
    stack = ModelStack(load_settings("miniature"), device="cpu")
    assert stack.batch_that_fits(25) == 25
    stack.activate("features")
    assert not stack.works_ahead
    assert stack._loaded == {}


def failing(error: Exception) -> Callable[[int], None]:
    def run(size: int) -> None:
        raise error

    return run


def test_only_a_lack_of_memory_makes_batches_smaller() -> None:
    assert largest_that_fits(lambda size: size, 7) == 7
    assert largest_that_fits(failing(MemoryError()), 7) is None
    with pytest.raises(ValueError, match="shape"):
        largest_that_fits(failing(ValueError("shape")), 7)


def test_torch_says_so_when_the_memory_of_this_machine_is_gone() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
