"""Memory of the device that models run on: what fits, and which model has it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable

import torch

logger = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine had no memory left.

    On a GPU torch says so by a class of its own; on the CPU only by its words.
    """
    of_words = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or of_words


def largest_that_fits(run: Callable[[int], object], most: int) -> int | None:
    """The largest of `most`, its half, its quarter, ... for which `run` does not run out of memory.

    Args:
        run: does the work with a batch of so many.
        most: at least 1.

    Returns:
        The size of the batch, or None if not even 1 fits.
    """
    size = most
    while size >= 1:
        try:
            run(size)
            return size
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            logger.info("no memory for a batch of %d: %s", size, error)
        # Outside the handler: the error holds on to what the run had allocated.
        give_back()
        size //= 2
    return None


def give_back() -> None:
    """Returns to the device what torch keeps of its memory for later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
