"""Where in the image a category is: its tokens' cross-attention, gathered during generation."""

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

    Every `attn2` of the UNet keeps its own processor, so the images do not change; beside it the
    attention probabilities are computed in float32: softmax over *all* text tokens, of which only
    the category's columns are kept, summed over heads, layers and steps for each map resolution.
    With guidance the batch is twice the prompts, unconditional half first, and only the
    conditional half counts; without guidance there is one half. Full probabilities exist for one
    layer at a time only.

    Averaging over layers, heads, time steps and the name's tokens is OVDiff's recipe.

    Args:
        unet: a UNet2DConditionModel.
        token_indices: for every prompt of the batch the positions of its category's tokens in
            the padded token sequence; see `text_to_image.category_token_indices`.

    Raises:
        ModelError: the UNet has no cross-attention layers (on entering); the batch is neither
            once nor twice the prompts, or a text token mask is in use (while generating).
    """

    def __init__(self, unet: nn.Module, token_indices: Sequence[Sequence[int]]) -> None:
        self._unet = unet
        self._token_indices = [list(indices) for indices in token_indices]
        self._by_resolution: dict[tuple[int, int], _Accumulator] = {}
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> CrossAttentionCapture:
        for transformer in self._unet.modules():
            if isinstance(transformer, Transformer2DModel):
                self._watch(transformer)
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

    def _watch(self, transformer: Transformer2DModel) -> None:
        """Puts a recorder on every attn2 of one transformer, which alone knows the map's shape."""
        recorders = [
            _Recorder(attention, self._add)
            for name, attention in transformer.named_modules()
            if name.endswith("attn2") and isinstance(attention, Attention)
        ]

        def note_shape(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden_states = args[0] if args else kwargs["hidden_states"]
            for recorder in recorders:
                recorder.resolution = tuple(hidden_states.shape[-2:])

        if recorders:
            handle = transformer.register_forward_pre_hook(note_shape, with_kwargs=True)
            self._undo.append(handle.remove)
            self._undo.extend(recorder.restore for recorder in recorders)

    @torch.no_grad()
    def _add(
        self, attention: Attention, hidden: torch.Tensor, text: torch.Tensor, size: tuple[int, int]
    ) -> None:
        """Adds one layer's maps. hidden: (B or 2B, h*w, c), text: (B or 2B, tokens, c')."""
        prompts = len(self._token_indices)
        if len(hidden) not in (prompts, 2 * prompts):
            raise ModelError(
                f"expected a UNet batch of {prompts} (no guidance) or {2 * prompts} (guidance) "
                f"for {prompts} prompts, found {len(hidden)}"
            )
        query = _heads(attention.to_q(hidden[-prompts:]), attention.heads)
        key = _heads(attention.to_k(text[-prompts:]), attention.heads)
        probabilities = (query @ key.transpose(-1, -2) * attention.scale).softmax(dim=-1)
        columns = probabilities.sum(dim=1) @ self._column_weights(text)
        if size not in self._by_resolution:
            self._by_resolution[size] = _Accumulator(torch.zeros_like(columns.view(-1, *size)))
        self._by_resolution[size].total += columns.view(-1, *size)
        self._by_resolution[size].maps += attention.heads

    def _column_weights(self, text: torch.Tensor) -> torch.Tensor:
        """float32 (B, tokens, 1): one over the number of the category's tokens at each of them."""
        weights = torch.zeros(len(self._token_indices), text.shape[1], 1)
        for row, indices in zip(weights, self._token_indices, strict=True):
            row[indices] = 1 / len(indices)
        return weights.to(text.device)


class _Recorder:
    """Attention processor that leaves the work to the layer's own one and reports its inputs."""

    def __init__(
        self,
        attention: Attention,
        report: Callable[[Attention, torch.Tensor, torch.Tensor, tuple[int, int]], None],
    ) -> None:
        self.resolution: tuple[int, ...] = ()
        self._attention = attention
        self._report = report
        self._original: Any = attention.get_processor()
        attention.set_processor(self)

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        if encoder_hidden_states is None or attention_mask is not None:
            raise ModelError(
                "expected cross-attention to all text tokens, found a layer without text or with "
                "a token mask; this text-to-image model is not supported"
            )
        height, width = self.resolution
        self._report(attn, hidden_states, encoder_hidden_states, (height, width))
        output: torch.Tensor = self._original(
            attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs
        )
        return output

    def restore(self) -> None:
        """Gives the layer its own processor back."""
        self._attention.set_processor(self._original)


def _heads(projected: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, n, heads * d) of any type to float32 (B, heads, n, d)."""
    batch, length, _ = projected.shape
    return projected.float().view(batch, length, heads, -1).transpose(1, 2)
