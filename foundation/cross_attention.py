"""Captures the cross-attention of a category's tokens while its image is generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn
from torch.nn import functional as F

from schemas.errors import ModelError


@dataclass
class _Accumulator:
    """Running sum of head maps of one resolution: total float32 (B, h, w), and how many."""

    total: torch.Tensor
    maps: int = 0


class CrossAttentionCapture:
    """Gathers the category tokens' cross-attention while a diffusers pipeline makes images.

    Used as a context manager around one call of the pipeline:

        with CrossAttentionCapture(pipeline.unet, token_indices) as capture:
            images = pipeline(prompts, ...)
        attention = capture.maps()

    Every `attn2` of the UNet keeps its own, fast processor, so the images do not change. The
    queries and keys that it projects anyway are recorded by hooks, and from them the attention
    probabilities are computed in float32: softmax over *all* text tokens, of which only the
    category's columns are kept, summed over heads, layers and steps for each map resolution. With
    guidance the batch is twice the prompts, unconditional half first, and only the conditional half
    counts; without guidance there is one half. Full probabilities exist for one layer at a time
    only.

    Averaging over layers, heads, time steps and the name's tokens is OVDiff's recipe.

    Args:
        unet: a UNet2DConditionModel.
        token_indices: for every prompt of the batch the positions of its category's tokens in
            the padded token sequence; see `text_to_image.category_token_indices`.

    Raises:
        ModelError: the UNet has no cross-attention layers (on entering); the batch is neither
            once nor twice the prompts, a text token mask is in use, or a layer does not project
            queries and keys by itself (while generating).
    """

    def __init__(self, unet: nn.Module, token_indices: Sequence[Sequence[int]]) -> None:
        self._unet = unet
        self._token_indices = [list(indices) for indices in token_indices]
        self._by_resolution: dict[tuple[int, int], _Accumulator] = {}
        self._weights: torch.Tensor | None = None
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> CrossAttentionCapture:
        for transformer in self._unet.modules():
            if isinstance(transformer, Transformer2DModel):
                self._record(transformer)
        if not self._undo:
            raise ModelError(
                "expected a UNet with cross-attention layers (attn2), "
                f"found none in {type(self._unet).__name__}; use a text-to-image model"
            )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._undo:
            self._undo.pop()()

    def maps(self) -> npt.NDArray[np.float32]:
        """The attention maps gathered so far: float32 (B, h, w), not scaled, on the finest grid.

        Each head map is resized bilinearly (corners not aligned) to the largest resolution, then
        all are averaged with equal weight, then the columns of the category's tokens. Resizing
        and averaging are linear, so they are done on sums.

        Raises:
            ModelError: nothing was generated inside the context.
        """
        if not self._by_resolution:
            raise ModelError("no attention was captured; generate images inside the context")
        largest = max(self._by_resolution, key=lambda size: size[0] * size[1])
        resized = [
            F.interpolate(part.total[:, None], size=largest, mode="bilinear", align_corners=False)
            for _, part in sorted(self._by_resolution.items())
        ]
        count = sum(part.maps for part in self._by_resolution.values())
        mean: npt.NDArray[np.float32] = (torch.cat(resized, 1).sum(1) / count).cpu().numpy()
        return mean

    def _record(self, transformer: Transformer2DModel) -> None:
        """Records every attn2 of one transformer, which alone knows the map's shape."""
        recorders = [
            _Recorder(attention, self._add)
            for name, attention in transformer.named_modules()
            if name.endswith("attn2") and isinstance(attention, Attention)
        ]

        def note_shape(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden_states = args[0] if args else kwargs["hidden_states"]
            for recorder in recorders:
                recorder.resolution = (hidden_states.shape[-2], hidden_states.shape[-1])

        if recorders:
            handle = transformer.register_forward_pre_hook(note_shape, with_kwargs=True)
            self._undo.append(handle.remove)
            self._undo.extend(recorder.stop for recorder in recorders)

    @torch.no_grad()
    def _add(
        self, attention: Attention, query: torch.Tensor, key: torch.Tensor, size: tuple[int, int]
    ) -> None:
        """Adds one layer's maps. query: (B or 2B, h*w, c), key: (B or 2B, tokens, c)."""
        prompts = len(self._token_indices)
        if len(query) not in (prompts, 2 * prompts):
            raise ModelError(
                f"expected a UNet batch of {prompts} (no guidance) or {2 * prompts} (guidance) "
                f"for {prompts} prompts, found {len(query)}"
            )
        queries = _heads(query[-prompts:], attention.heads)
        keys = _heads(key[-prompts:] * attention.scale, attention.heads)
        probabilities = (queries @ keys.transpose(-1, -2)).softmax(dim=-1)
        columns = (probabilities @ self._column_weights(key)[:, None]).sum(dim=1)
        if size not in self._by_resolution:
            self._by_resolution[size] = _Accumulator(torch.zeros_like(columns.view(-1, *size)))
        self._by_resolution[size].total += columns.view(-1, *size)
        self._by_resolution[size].maps += attention.heads

    def _column_weights(self, key: torch.Tensor) -> torch.Tensor:
        """float32 (B, tokens, 1): one over the number of the category's tokens at each of them."""
        if self._weights is None:
            weights = torch.zeros(len(self._token_indices), key.shape[1], 1)
            for row, indices in zip(weights, self._token_indices, strict=True):
                row[indices] = 1 / len(indices)
            self._weights = weights.to(key.device)
        return self._weights


class _Recorder:
    """Records one layer's queries and keys, and reports them when the layer is done."""

    def __init__(
        self,
        attention: Attention,
        report: Callable[[Attention, torch.Tensor, torch.Tensor, tuple[int, int]], None],
    ) -> None:
        self.resolution = (0, 0)
        self._report = report
        self._query: torch.Tensor | None = None
        self._key: torch.Tensor | None = None
        self._handles = [
            attention.register_forward_pre_hook(self._check, with_kwargs=True),
            attention.to_q.register_forward_hook(self._take_query),
            attention.to_k.register_forward_hook(self._take_key),
            attention.register_forward_hook(self._finish),
        ]

    def stop(self) -> None:
        """Removes the hooks."""
        for handle in self._handles:
            handle.remove()

    def _check(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(
            zip(("hidden_states", "encoder_hidden_states", "attention_mask"), args, strict=False)
        )
        given |= kwargs
        if given.get("encoder_hidden_states") is None or given.get("attention_mask") is not None:
            raise ModelError(
                "expected cross-attention to all text tokens, found a layer without text or with "
                "a token mask; this text-to-image model is not supported"
            )

    def _take_query(self, _: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        self._query = output

    def _take_key(self, _: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        self._key = output

    def _finish(self, attention: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        query, key, self._query, self._key = self._query, self._key, None, None
        if query is None or key is None or not isinstance(attention, Attention):
            raise ModelError(
                "expected a cross-attention layer that projects queries and keys by itself, found "
                "one with fused projections; this text-to-image model is not supported"
            )
        self._report(attention, query, key, self.resolution)


def _heads(projected: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, n, heads * d) of any type to float32 (B, heads, n, d)."""
    batch, length, _ = projected.shape
    return projected.float().view(batch, length, heads, -1).transpose(1, 2)
