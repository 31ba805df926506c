"""SAM's image encoder in less memory: attention in strips, weights in the type they are used in.

Attention to all 64 x 64 patches of a photo makes 4096 x 4096 maps for each of 12 or 16 heads:
segment-anything holds several of them at a time, 2.7 GB for ViT-H. Here torch's fused attention is
given a few rows of patches at a time, with the rows' relative-position bias as its mask; whichever
kernel torch chooses, no more than one strip's maps are held.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import nn
from torch.nn import functional as F

# Entries of a strip's bias over all heads: 64 MB in half precision. A window is one strip.
_ENTRIES_AT_ONCE = 1 << 25


class StripAttention(nn.Module):
    """segment-anything's `Attention` with relative positions: the same weights, keys and results.

    Results differ by floating-point rounding. In half precision the logits are summed in float32,
    where the original rounds them three times.

    Args:
        attention: whose weights are taken over, for an input as large as it was made for.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.num_heads: int = attention.num_heads
        self.scale: float = attention.scale
        self.qkv, self.proj = attention.qkv, attention.proj
        self.rel_pos_h, self.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w
        # What the original gathers again for every image; not among the weights that are saved.
        for name, table in (("_rows", self.rel_pos_h), ("_columns", self.rel_pos_w)):
            side = (len(table) + 1) // 2
            with torch.no_grad():
                self.register_buffer(name, get_rel_pos(side, side, table), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, H, W, c) to the same shape; every patch attends to all H * W of its image."""
        batch, height, width, _ = x.shape
        patches = height * width
        projected = self.qkv(x).reshape(batch, patches, 3, self.num_heads, -1)
        queries, keys, values = projected.permute(2, 0, 3, 1, 4).unbind(0)
        grid = queries.reshape(batch, self.num_heads, height, width, -1)
        by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, self._rows.to(grid.dtype))
        by_column = torch.einsum("bnhwc,wkc->bnhwk", grid, self._columns.to(grid.dtype))
        rows = max(1, _ENTRIES_AT_ONCE // (batch * self.num_heads * width * patches))
        strips = []
        for top in range(0, height, rows):
            strip = slice(top, top + rows)
            bias = by_row[:, :, strip, :, :, None] + by_column[:, :, strip, :, None, :]
            strips.append(
                F.scaled_dot_product_attention(
                    grid[:, :, strip].flatten(2, 3),
                    keys,
                    values,
                    attn_mask=bias.flatten(4).flatten(2, 3),
                    scale=self.scale,
                )
            )
        seen = torch.cat(strips, dim=2).transpose(1, 2).reshape(batch, height, width, -1)
        result: torch.Tensor = self.proj(seen)
        return result


def slim(encoder: Any, dtype: torch.dtype) -> None:
    """Makes an image encoder compute in less memory; it can no longer be trained.

    Under autocast torch casts the weights of products and convolutions to half precision in every
    forward pass. They are stored so instead, which gives bit for bit the same; norms, positions and
    all else that autocast leaves in float32 stay in it.

    Args:
        encoder: segment-anything's `ImageEncoderViT` with relative positions, its weights loaded.
        dtype: what it will compute in, by autocast; float32 leaves the weights as they are.
    """
    for block in encoder.blocks:
        block.attn = StripAttention(block.attn)
    if dtype == torch.float32:
        return
    for module in encoder.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.to(dtype)
