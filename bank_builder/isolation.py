"""Work on several items at once such that one bad item costs only itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
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
    """The results of `work` on all items together or, if it raises, on each item alone.

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
