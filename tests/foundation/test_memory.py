"""Noticing that memory ran out, whoever says so, and letting go of what took it."""

from __future__ import annotations

import errno
import gc
import weakref
from collections.abc import Callable

import pytest
import torch

from foundation.memory import first_that_fits, forget_frames, is_out_of_memory
from schemas.errors import ImageError

# As torch and the libraries below it say it.
SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total ..."),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronous"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("cuda runtime error (2) : out of memory at /pytorch/aten/src/THC/random.cu:25"),
    RuntimeError("CUDA ran out of memory outside PyTorch's allocator. If this workload uses ..."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    RuntimeError("cudaErrorMemoryAllocation: out of memory"),
    RuntimeError(
        "MPS backend out of memory (MPS allocated: 9.57 GiB, other allocations: 17.35 GiB, max "
        "allowed: 27.20 GiB). Tried to allocate 292.50 MiB on private pool."
    ),
    RuntimeError("Invalid buffer size: 19.45 GB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
OTHER = [
    RuntimeError("shapes do not match"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
    OSError(errno.ENOSPC, "No space left on device"),
    ImageError("out of memory.png: expected a picture, found nothing"),
    KeyboardInterrupt(),
]


def words(error: BaseException) -> str:
    return f"{type(error).__name__} {error}"[:60]


@pytest.mark.parametrize("error", SHORT, ids=words)
def test_a_lack_of_memory_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHER, ids=words)
def test_other_errors_are_not_taken_for_it(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_it_is_recognised_as_the_cause_of_another_error() -> None:
    with pytest.raises(ImageError) as raised_from:
        raise_from(SHORT[0])
    assert is_out_of_memory(raised_from.value)
    with pytest.raises(KeyError) as while_handling:
        raise_while_handling(SHORT[0])
    assert is_out_of_memory(while_handling.value)
    while_handling.value.__suppress_context__ = True  # as `from None` does
    assert not is_out_of_memory(while_handling.value)


def raise_from(error: BaseException) -> None:
    try:
        raise error
    except RuntimeError as caught:
        raise ImageError("no embedding") from caught


def raise_while_handling(error: BaseException) -> None:
    try:
        raise error
    except RuntimeError:
        clean_up()


def clean_up() -> None:
    raise KeyError("nothing to clean up")


def test_torch_says_so_when_the_memory_of_this_machine_is_gone() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)


class Tensor:
    """Something that a frame holds."""


def failing(seen: list[weakref.ref[Tensor]]) -> Callable[[object], None]:
    def run(_: object) -> None:
        tensor = Tensor()
        seen.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    return run


def test_an_error_that_stays_holds_nothing() -> None:
    seen: list[weakref.ref[Tensor]] = []
    with pytest.raises(torch.OutOfMemoryError) as caught:
        failing(seen)(None)
    assert seen[0]() is not None
    forget_frames(caught.value)
    gc.collect()
    assert seen[0]() is None


def test_before_the_next_try_all_is_given_back() -> None:
    seen: list[weakref.ref[Tensor]] = []
    fail = failing(seen)

    def run(size: int) -> int:
        assert all(reference() is None for reference in seen)
        if size > 2:
            fail(None)
        return -size

    assert first_that_fits([8, 4, 2, 1], run) == (2, -2)
    assert len(seen) == 2


def test_only_a_lack_of_memory_makes_one_try_the_next() -> None:
    assert first_that_fits([1, 2], failing([])) == "CUDA out of memory"
    assert first_that_fits([], failing([])) == ""

    def wrong(_: int) -> None:
        raise ValueError("shape")

    with pytest.raises(ValueError, match="shape"):
        first_that_fits([1, 2], wrong)
