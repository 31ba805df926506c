"""One bad item costs only itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from bank_builder.batches import BatchTooLarge, failure_reason, together_or_alone


class Inverter:
    """1 / x of several numbers; notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[float]:
        self.calls.append(list(items))
        return [1 / item for item in items]


def test_good_items_are_done_together() -> None:
    work = Inverter()

    assert together_or_alone(work, [1, 2, 4]) == [1, 0.5, 0.25]
    assert work.calls == [[1, 2, 4]]


def test_a_bad_item_gets_its_exception_and_the_others_their_results() -> None:
    work = Inverter()

    first, bad, last = together_or_alone(work, [1, 0, 4])

    assert (first, last) == (1, 0.25)
    assert isinstance(bad, ZeroDivisionError)
    assert work.calls == [[1, 0, 4], [1], [0], [4]]


def test_a_single_bad_item_is_not_tried_twice() -> None:
    work = Inverter()

    assert isinstance(together_or_alone(work, [0])[0], ZeroDivisionError)
    assert work.calls == [[0]]


def test_nothing_is_not_worked_on() -> None:
    work = Inverter()

    assert together_or_alone(work, []) == []
    assert work.calls == []


def test_an_interrupt_passes_through() -> None:
    def interrupted(items: Sequence[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        together_or_alone(interrupted, [1, 2])


def test_a_reason_is_one_line() -> None:
    assert failure_reason("generating", ValueError("a\nb")) == "generating failed: ValueError: a"
    assert failure_reason("generating", MemoryError()) == "generating failed: MemoryError"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_is_the_batchs_fault_if_it_can_be_smaller(error: Exception) -> None:
    def work(items: Sequence[int]) -> list[int]:
        raise error

    with pytest.raises(BatchTooLarge):
        together_or_alone(work, [1], divisible=True)
    assert together_or_alone(work, [1]) == [error]
