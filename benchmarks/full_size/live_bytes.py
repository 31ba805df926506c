"""The peak of bytes that tensors take together, counted on the meta device."""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class LiveBytes(TorchDispatchMode):
    """Counts the storages of the tensors that operations return, as long as one is referred to.

    Attributes:
        peak: the most bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._now = 0
        self._tensors: Counter[int] = Counter()  # by storage
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {_storage(one) for one in tree_leaves((args, kwargs)) if _is_tensor(one)}
        result = func(*args, **(kwargs or {}))
        for tensor in filter(_is_tensor, tree_leaves(result)):
            # A view of what was there before, such as weights, takes nothing.
            if _storage(tensor) in self._sizes or _storage(tensor) not in given:
                self._add(tensor)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = _storage(tensor)
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
        self._tensors[key] += 1
        weakref.finalize(tensor, self._gone, key)

    def _gone(self, key: int) -> None:
        self._tensors[key] -= 1
        if not self._tensors[key]:
            self._now -= self._sizes.pop(key)


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _storage(tensor: torch.Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


class HalfProducts(TorchFunctionMode):
    """Does to linear layers and convolutions what autocast does, which knows no meta device."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = (args, kwargs or {})
        if func in (F.linear, F.conv2d):
            given = tree_map_only(torch.Tensor, lambda tensor: tensor.to(self._dtype), given)
        return func(*given[0], **given[1])


def peak_bytes(run: Callable[[], object], half: torch.dtype | None = None) -> int:
    """The most bytes that `run` takes at a time beyond the weights, which exist before.

    Fused attention is counted by its result alone, as GPUs hold no more.

    Args:
        run: works on tensors of the meta device.
        half: the type of autocast.
    """
    autocast = contextlib.nullcontext() if half is None else HalfProducts(half)
    live = LiveBytes()
    with _fused_attention(), torch.no_grad(), autocast, live:
        run()
    return live.peak


@contextlib.contextmanager
def _fused_attention() -> Iterator[None]:
    def attend(query: torch.Tensor, key: Any, value: torch.Tensor, **_: Any) -> torch.Tensor:
        return query.new_empty(*query.shape[:-1], value.shape[-1])

    with patch.object(F, "scaled_dot_product_attention", attend):
        yield
