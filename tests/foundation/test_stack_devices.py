"""Which device is taken, and what a device without float64 (Apple's MPS) must never be given."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import foundation
from foundation import stack as stack_module
from foundation.interfaces import Prompt
from foundation.precision import encoder_type, fast_type
from foundation.stack import ModelStack, choose_device
from schemas.errors import UsageError
from schemas.settings import load_settings

MPS = torch.device("mps")
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"


@pytest.mark.parametrize(
    ("cuda", "mps", "works", "chosen"),
    [
        (True, True, True, "cuda"),
        (False, True, True, "mps"),
        (False, True, False, "cpu"),  # there in name only, as in a virtual machine
        (False, False, True, "cpu"),
    ],
)
def test_auto_takes_the_best_device_that_works(
    cuda: bool, mps: bool, works: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ones = torch.ones

    def made(*args: Any, device: torch.device) -> torch.Tensor:
        if device.type == "mps" and not works:
            raise RuntimeError("MPS backend out of memory")
        return ones(*args)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch, "ones", made)
    assert choose_device("auto").type == chosen
    if mps and works:
        assert choose_device("mps") == MPS
    else:
        with pytest.raises(UsageError, match=r"such as auto, cpu, cuda or mps, found 'mps'"):
            choose_device("mps")


def test_this_machine_has_no_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "darwin":
        pytest.skip("it may have")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "cpu"  # torch's own word is not enough


def test_apples_gpu_computes_in_float32_and_one_model_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fast_type(MPS) == encoder_type(MPS) == torch.float32
    monkeypatch.setattr(stack_module, "choose_device", lambda name: MPS)
    assert not ModelStack(load_settings("miniature"), "mps").works_ahead


@pytest.mark.parametrize(
    ("platform", "before", "after"),
    [("darwin", None, "1"), ("darwin", "0", "0"), ("linux", None, None)],
)
def test_operations_that_mps_lacks_run_on_the_cpu(
    platform: str, before: str | None, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FALLBACK, "")  # restored afterwards, whatever the module does
    monkeypatch.delenv(FALLBACK)
    if before is not None:
        monkeypatch.setenv(FALLBACK, before)
    monkeypatch.setattr(sys, "platform", platform)
    importlib.reload(foundation)
    assert os.environ.get(FALLBACK) == after


class _NoFloat64(TorchDispatchMode):
    """Fails for every operation that takes or makes float64 tensors, as MPS does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves((args, kwargs, result)):
            if isinstance(one, torch.Tensor) and one.dtype in (torch.float64, torch.complex128):
                raise TypeError(f"{func} with {one.dtype}, which MPS does not have")
        return result


@pytest.fixture(scope="module")
def stack(stack_folder: Path) -> ModelStack:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foundation.text_to_image_loading.fast_type", lambda device: torch.float32)
        stack = ModelStack(load_settings(str(stack_folder / "tiny.toml")), device="cpu")
        for role in ("text_to_image", "segmenter", "features", "text_image"):
            getattr(stack, role)
    return stack


def generate(stack: ModelStack) -> Any:
    return stack.text_to_image.generate([Prompt("a photo of a house", 13, 18)], [0])


def segment(stack: ModelStack) -> Any:
    embedding = stack.segmenter.embed(PICTURE)
    points = np.array([[[30.5, 20.0]], [[3.0, 2.0]]])
    logits = stack.segmenter.predict(embedding, points).logits.flatten(0, 1)
    return stack.segmenter.upsample(embedding, logits)


def extract(stack: ModelStack) -> Any:
    return stack.features.extract([PICTURE, PICTURE[:20]])


def compare(stack: ModelStack) -> Any:
    return stack.text_image.embed_texts(["a house"]), stack.text_image.embed_images([PICTURE])


@pytest.mark.parametrize("work", [generate, segment, extract, compare])
def test_no_model_is_given_float64(stack: ModelStack, work: Callable[[ModelStack], Any]) -> None:
    with _NoFloat64():
        work(stack)


def test_float64_would_be_noticed() -> None:
    with pytest.raises(TypeError, match="which MPS does not have"), _NoFloat64():
        torch.as_tensor(np.ones(3)).to(torch.float32)
