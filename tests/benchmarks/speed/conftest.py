"""The miniature stack on one thread, as the speed benchmarks have it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmarks.command import quiet_libraries
from benchmarks.speed import proposals
from benchmarks.speed.stock_references import StockReferences
from foundation.stack import ModelStack
from schemas.settings import load_settings

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    quiet_libraries()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stack() -> ModelStack:
    """In float32, in which stock calls compute too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foundation.text_to_image_loading.fast_type", lambda device: torch.float32)
        made = ModelStack(load_settings("miniature", ["generation.steps=8"]), "cpu")
        made.load()
    return made


@pytest.fixture(scope="module")
def stock(stack: ModelStack) -> StockReferences:
    return StockReferences(stack)


@pytest.fixture(scope="module")
def ways(stack: ModelStack) -> proposals.Ways:
    return proposals.Ways(proposals.sam_of(stack.settings, CPU, False), stack.settings.proposals)
