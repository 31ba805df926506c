"""Work on batches: one bad item costs only itself, and the next batch is made meanwhile."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchTooLarge(Exception):
    """The memory did not suffice for a batch; it may with a smaller one, or other sharing."""


def together_or_alone(
    work: Callable[[Sequence[Item]], Sequence[Result]],
    items: Sequence[Item],
    *,
    divisible: bool = False,
) -> list[Result | Exception]:
    """Runs `work` on all items together or, if it raises, on each item alone.

    Args:
        work: gives one result an item.
        items: what to work on.
        divisible: whether the work can go on with less memory. Running out of it is then no
            item's fault.

    Returns:
        One entry an item: its result, or the exception that it raised alone. What is no
        `Exception` (an interrupt) passes through.

    Raises:
        BatchTooLarge: `work` ran out of memory, and the batch is divisible.
    """
    if not items:
        return []
    try:
        return list(work(items))
    except Exception as error:  # a model library may raise anything; it becomes the item's result
        from foundation.memory import first_line, forget_frames, is_out_of_memory

        if is_out_of_memory(error):
            forget_frames(error)
            if divisible:
                raise BatchTooLarge(first_line(error)) from error
        if len(items) == 1:
            return [error]
        logger.warning("a batch of %d failed and is done one by one: %s", len(items), error)
    return [
        result for item in items for result in together_or_alone(work, [item], divisible=divisible)
    ]


def failure_reason(doing: str, error: Exception) -> str:
    """One line for the row of an image that failed: what was being done, and the error."""
    lines = str(error).strip().splitlines()
    return f"{doing} failed: {type(error).__name__}" + (f": {lines[0]}" if lines else "")


@dataclass(frozen=True)
class _End:
    """The last entry of the queue: the maker is done, or what it raised."""

    error: BaseException | None


@contextmanager
def ahead(items: Iterator[Item], depth: int = 1) -> Iterator[Iterator[Item]]:
    """Yields the same items in the same order, made in another thread at most `depth` ahead.

    What the maker raises is raised where its next item would have been. Leaving the block stops
    the maker after the item that it is at.

        with ahead(batches) as made:
            for batch in made:
                ...
    """
    entries: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(entry: Item | _End) -> None:
        while not stopped.is_set():
            try:
                entries.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def make() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as raised:
            error = raised
        put(_End(error))

    def taken() -> Iterator[Item]:
        while not isinstance(entry := entries.get(), _End):
            yield entry
        if entry.error is not None:
            raise entry.error

    maker = threading.Thread(target=make, name="ahead", daemon=True)
    maker.start()
    try:
        yield taken()
    finally:
        stopped.set()
        maker.join()
