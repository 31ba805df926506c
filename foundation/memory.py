"""Memory of the device that models run on: tells that it ran out, and frees it."""

from __future__ import annotations

import errno
import gc
import logging
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from foundation.interfaces import Result
from schemas.errors import RimError

logger = logging.getLogger(__name__)

Option = TypeVar("Option")

# What torch and the libraries below it say, in a RuntimeError of no class of its own. The last two
# lines are said for other reasons too, but above all where cuDNN or cuBLAS find no memory for
# their workspace; whoever gives up for them has to quote them.
_WORDS = re.compile(
    r"\bout of memory\b"  # CUDA, its driver, HIP, XPU, MPS
    r"|\bcan't allocate memory\b|\bcannot allocate memory\b|\bnot enough memory\b|\bbad_alloc\b"
    r"|\bcudaErrorMemoryAllocation\b|\bCUDA_ERROR_OUT_OF_MEMORY\b"
    r"|_STATUS_(INTERNAL_ERROR_(DEVICE|HOST)_)?ALLOC(ATION)?_FAILED\b"  # cuBLAS, cuDNN, cuSOLVER
    r"|\bInvalid buffer size: "  # MPS, of one tensor
    r"|\bunable to find an engine to execute this computation\b"
    r"|\bUnable to find a valid cuDNN algorithm\b"
    r"|\bCUBLAS_STATUS_NOT_INITIALIZED when calling `?cublasCreate\b",
    re.IGNORECASE,
)


def first_that_fits(
    options: Iterable[Option], run: Callable[[Option], Result]
) -> tuple[Option, Result] | str:
    """The first option for which `run` does not run out of memory, and what it returned.

    Returns:
        If there is none: what the last one said, "" if there were no options.
    """
    reason = ""
    for option in options:
        try:
            return option, run(option)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = first_line(error)
            logger.info("no memory for %s: %s", option, reason)
            forget_frames(error)
        give_back()
    return reason


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine had no memory left, or that was the error's cause."""
    return any(_says_so(one) for one in _chain(error))


def forget_frames(error: BaseException) -> None:
    """Drops the local variables that an error, which stays, holds on to: tensors among them."""
    for one in _chain(error):
        traceback.clear_frames(one.__traceback__)


def give_back() -> None:
    """Frees the device's memory that nothing refers to any more, and what torch keeps for later."""
    gc.collect()
    empty_cache()


def empty_cache() -> None:
    """Frees the device's memory that torch keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class DeviceMemory:
    """The memory of a CUDA device, as torch counts it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def peak_of(self, run: Callable[[], object]) -> int:
        """The most bytes that `run` had allocated beyond what there was before."""
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        run()
        return max(0, torch.cuda.max_memory_allocated(self._device) - before)

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Reserves so many bytes; torch.OutOfMemoryError if they are not there."""
        block = torch.empty(size, dtype=torch.uint8, device=self._device)
        try:
            yield
        finally:
            del block


def _says_so(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # Messages of our own may quote anything, the name of a file for example.
    return not isinstance(error, RimError) and _WORDS.search(str(error)) is not None


def _chain(error: BaseException) -> list[BaseException]:
    """The error, what it was raised from or while handling, and so on."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        hidden = following.__suppress_context__
        following = following.__cause__ or (None if hidden else following.__context__)
    return chain
