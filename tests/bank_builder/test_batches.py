"""Work on batches: one bad item costs only itself, and the next batch is made meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
import torch

from bank_builder.batches import BatchTooLarge, ahead, failure_reason, together_or_alone


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


def counting(stop: int, made: list[int], error: BaseException | None = None) -> Iterator[int]:
    for number in range(stop):
        made.append(number)
        yield number
    if error is not None:
        raise error


def test_the_same_items_in_the_same_order() -> None:
    with ahead(counting(20, [])) as items:
        assert list(items) == list(range(20))


def test_the_next_item_is_made_while_one_is_worked_on() -> None:
    second = threading.Event()

    def make() -> Iterator[int]:
        yield 0
        second.set()
        yield 1

    with ahead(make()) as items:
        assert next(items) == 0
        assert second.wait(timeout=10)


def test_no_more_is_made_than_what_is_asked_for() -> None:
    made: list[int] = []
    with ahead(counting(1000, made)) as items:
        next(items)
    assert len(made) <= 4  # one taken, one waiting, one at hand, and one begun before it was told
    assert not any(thread.name == "ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_what_the_maker_raises_comes_in_its_turn(error: BaseException) -> None:
    with ahead(counting(3, [], error)) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(type(error)):
            next(items)
