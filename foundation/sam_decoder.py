"""SAM's mask decoder for point prompts: the same masks as segment-anything's own, for less work.

A photo is one image and many prompts of a few tokens each. segment-anything projects all h*w pixels
of the image to queries, keys and values again for every prompt. But (x W) q = x (W q): the few
tokens can be projected instead and compared with the pixels as they are. A key's bias adds the same
to all logits of a query, which the softmax does not notice; a value's bias is added after
averaging, since weights sum to one. In the first layer the pixels are the same for all prompts, so
one matrix product serves them all. The two transposed convolutions do not overlap (kernel = stride
= 2) and are matrix products; of the four masks the first, for prompts of one meaning, is not made.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from segment_anything.modeling import MaskDecoder
from torch.nn import functional as F


class PointDecoder:
    """Decodes prompts for one image, as `MaskDecoder` with `multimask_output=True` does.

    Args:
        decoder: in evaluation mode; it keeps the weights, and may be moved to another device.
    """

    def __init__(self, decoder: MaskDecoder) -> None:
        self._decoder = decoder

    def __call__(
        self,
        features: torch.Tensor,
        position: torch.Tensor,
        sparse: torch.Tensor,
        dense: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks and their predicted quality.

        Args:
            features: (1, c, h, w) of the image.
            position: (1, c, h, w), the encoding of every pixel's position.
            sparse: (P, n, c), the prompts' tokens.
            dense: (1, c, h, w), what prompts add to every pixel; for points it is always the same.

        Returns:
            float32 logits (P, 3, 4h, 4w), above 0 = mask, and predicted IoU (P, 3).
        """
        decoder: Any = self._decoder
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        height, width = features.shape[-2:]
        pixels = (features + dense).flatten(2).transpose(1, 2)
        tokens, pixels = self._attend(tokens, pixels, position.flatten(2).transpose(1, 2))
        of_masks = tokens[:, 2 : len(own)].unbind(1)
        networks = decoder.output_hypernetworks_mlps[1:]
        weights = torch.stack(
            [network(token) for network, token in zip(networks, of_masks, strict=True)], dim=1
        )
        quality = decoder.iou_prediction_head(tokens[:, 0])[:, 1:]
        return self._masks(weights, pixels, height, width), quality

    def _attend(
        self, tokens: torch.Tensor, pixels: torch.Tensor, position: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `TwoWayTransformer`: tokens (P, t, c) and pixels (1, h*w, c) attend to each other.

        Returns:
            tokens (P, t, c), pixels (P, h*w, c).
        """
        transformer: Any = self._decoder.transformer
        prompt = tokens
        placed = pixels + position
        for number, layer in enumerate(transformer.layers):
            if number == 0:
                tokens = layer.self_attn(q=tokens, k=tokens, v=tokens)
            else:
                asking = tokens + prompt
                tokens = tokens + layer.self_attn(q=asking, k=asking, v=tokens)
            tokens = layer.norm1(tokens)
            seen = _tokens_to_pixels(
                layer.cross_attn_token_to_image, tokens + prompt, placed, pixels
            )
            tokens = layer.norm2(tokens + seen)
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            seen = _pixels_to_tokens(
                layer.cross_attn_image_to_token, placed, tokens + prompt, tokens, pixels
            )
            pixels = layer.norm4(seen)
            placed = pixels + position
        final = transformer.final_attn_token_to_image
        seen = _tokens_to_pixels(final, tokens + prompt, placed, pixels)
        return transformer.norm_final_attn(tokens + seen), pixels

    def _masks(
        self, weights: torch.Tensor, pixels: torch.Tensor, height: int, width: int
    ) -> torch.Tensor:
        """(P, m, 4h, 4w): pixels (P, h*w, c) upscaled twice, times weights (P, m, c/8)."""
        first, norm, _, second, _ = self._decoder.output_upscaling
        prompts = len(pixels)
        finer = _upscaled(first, pixels).reshape(prompts, height * width * 4, -1)
        scale = (norm.weight, norm.bias, norm.eps)
        finer = F.gelu(F.layer_norm(finer, finer.shape[-1:], *scale))
        finer = F.gelu(_upscaled(second, finer)).reshape(prompts, height * width * 16, -1)
        logits = torch.bmm(weights, finer.transpose(1, 2))
        # The sub-pixels of the two upscalings, (row, column) each, go to their places.
        logits = logits.view(prompts, -1, height, width, 2, 2, 2, 2)
        logits = logits.permute(0, 1, 2, 4, 6, 3, 5, 7)
        return logits.reshape(prompts, -1, 4 * height, 4 * width)


def _tokens_to_pixels(
    attention: Any, tokens: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Attention of tokens (P, t, c) to pixels; keys and values (1 or P, h*w, c), not projected."""
    prompts, count, channels = tokens.shape
    heads = attention.num_heads
    queries = _heads(attention.q_proj(tokens), heads)
    size = queries.shape[-1]
    folded = (queries / math.sqrt(size)) @ attention.k_proj.weight.view(heads, size, channels)
    weights = _times(folded.reshape(prompts, -1, channels), keys.transpose(1, 2)).softmax(-1)
    averages = _times(weights, values).view(prompts, heads, count, channels)
    of_values = attention.v_proj.weight.view(heads, size, channels).transpose(1, 2)
    seen = averages @ of_values + attention.v_proj.bias.view(heads, 1, size)
    projected: torch.Tensor = attention.out_proj(
        seen.transpose(1, 2).reshape(prompts, count, heads * size)
    )
    return projected


def _pixels_to_tokens(
    attention: Any,
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    pixels: torch.Tensor,
) -> torch.Tensor:
    """pixels (1 or P, h*w, c) plus their attention to tokens: keys and values (P, t, c).

    queries: (1 or P, h*w, c), not projected.
    """
    prompts, count, channels = keys.shape
    heads = attention.num_heads
    projected = _heads(attention.k_proj(keys), heads)
    size = projected.shape[-1]
    projected = projected / math.sqrt(size)
    folded = projected @ attention.q_proj.weight.view(heads, size, channels)
    logits = _times(folded.reshape(prompts, -1, channels), queries.transpose(1, 2))
    bias = (projected * attention.q_proj.bias.view(heads, 1, size)).sum(-1, keepdim=True)
    weights = (logits.view(prompts, heads, count, -1) + bias).softmax(2)
    out = attention.out_proj.weight.view(channels, heads, size).permute(1, 2, 0)
    seen = _heads(attention.v_proj(values), heads) @ out
    added: torch.Tensor = torch.baddbmm(
        (pixels + attention.out_proj.bias).expand(prompts, -1, -1),
        weights.reshape(prompts, heads * count, -1).transpose(1, 2),
        seen.reshape(prompts, heads * count, channels),
    )
    return added


def _times(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(P, m, k) times (1 or P, k, n); one product where all share the second."""
    if len(columns) == 1:
        return (rows.reshape(-1, rows.shape[-1]) @ columns[0]).view(*rows.shape[:-1], -1)
    return torch.bmm(rows, columns)


def _heads(projected: torch.Tensor, heads: int) -> torch.Tensor:
    """(P, t, heads * size) to (P, heads, t, size)."""
    return projected.view(*projected.shape[:-1], heads, -1).transpose(1, 2)


def _upscaled(convolution: Any, pixels: torch.Tensor) -> torch.Tensor:
    """(P, n, 4 * out): the four sub-pixels of each of n pixels (P, n, c), row by row."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    finer: torch.Tensor = pixels.reshape(-1, pixels.shape[-1]) @ weight.T
    # In place: a product with a bias first writes the bias to every row.
    finer += convolution.bias.repeat(4)
    return finer.view(*pixels.shape[:-1], -1)
