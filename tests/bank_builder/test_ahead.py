"""Items made ahead: the same items in the same order, errors where they belong, no thread left."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from bank_builder.ahead import ahead


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
        assert second.wait(timeout=300)


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
