"""Timing in turns, bounds, and arithmetic."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.speed.stock_references import StockReferences
from benchmarks.speed.timing import in_turns, matrix_product_rate, median, target, unet_flops
from schemas.settings import load_settings

CPU = torch.device("cpu")


def test_ways_take_turns() -> None:
    calls: list[str] = []
    ways = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    seconds = in_turns(ways, 3, CPU)
    assert calls == ["a", "b"] * 3
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}
    assert all(one >= 0 for times in seconds.values() for one in times)
    assert median([3.0, 1.0, 100.0]) == 3.0


def test_what_is_wanted_depends_on_stack_and_device() -> None:
    miniature, paper = load_settings("miniature"), load_settings("paper")
    cases = [(miniature, "cpu", 2.0), (paper, "cpu", None), (paper, "cuda", 1.5)]
    for settings, device, wanted in cases:
        where = torch.device(device)
        assert target(settings, where, miniature=2.0, full_size=1.5) == wanted


@pytest.mark.slow
def test_flops_of_a_unet_grow_with_the_batch(stock: StockReferences) -> None:
    one = unet_flops(stock.pipeline, (64, 64))
    assert unet_flops(stock.pipeline, (64, 64), batch=3) == pytest.approx(3 * one, rel=0.01)
    # The first convolution alone: 3 x 3, 4 to 64 channels, 16 x 16 places.
    assert one > 2 * 9 * 4 * 64 * 256


def test_the_rate_of_matrix_products_is_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed.timing._SIDE", {"cpu": 64})
    assert 0 < matrix_product_rate(CPU, torch.float32) < math.inf
