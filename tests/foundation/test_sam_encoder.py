"""SAM's encoder in less memory: segment-anything's own results, and what it holds at a time."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.image_encoder import Attention
from torch import nn

from foundation import sam_encoder
from foundation.sam_checkpoint import PUBLISHED, build_sam
from foundation.sam_encoder import StripAttention, slim
from schemas.settings import SamArchitecture

# Windows and photo of the published models, their number, width and depth reduced:
# two windows a side, of which the outer ones are padded.
REDUCED = PUBLISHED["vit_b"].model_copy(
    update={
        "image_size": 336,
        "embed_dim": 64,
        "depth": 2,
        "num_heads": 2,
        "global_attn_indexes": (1,),
        "out_chans": 32,
    }
)


def noisy(module: nn.Module) -> Any:
    """Random weights with pronounced attention and positions; freshly built ones have none."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "rel_pos" in name or name == "pos_embed":
                parameter.normal_(0, 0.3)
            elif name.endswith("qkv.weight"):
                parameter.mul_(3)
    return module.eval().requires_grad_(False)


def encoder(architecture: SamArchitecture = REDUCED) -> Any:
    torch.manual_seed(1)
    return noisy(build_sam(architecture).image_encoder)


def attention(dimension: int, heads: int, side: int) -> Any:
    torch.manual_seed(1)
    made = Attention(dimension, heads, use_rel_pos=True, input_size=(side, side))
    return noisy(made)


def embedded(network: Any, image: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        result: torch.Tensor = network(image).float()
    return result


def photo(side: int) -> torch.Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("entries", [1, 10_000, 1 << 25], ids=["rows", "strips", "whole"])
@pytest.mark.parametrize("batch", [1, 3])
def test_attention_is_segment_anythings(
    entries: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam_encoder, "_ENTRIES_AT_ONCE", entries)
    original = attention(48, 3, 10)
    x = torch.randn(batch, 10, 10, 48)
    expected = original(x)
    torch.testing.assert_close(StripAttention(original)(x), expected, atol=2e-6, rtol=1e-5)
    flat = copy.deepcopy(original)
    flat.rel_pos_h.zero_()
    flat.rel_pos_w.zero_()
    assert not torch.allclose(flat(x), expected, atol=1e-2)  # positions matter here


@pytest.mark.stress
@pytest.mark.parametrize(("dimension", "heads"), [(768, 12), (1280, 16)], ids=["ViT-B", "ViT-H"])
@pytest.mark.parametrize(("batch", "side"), [(1, 64), (25, 14)], ids=["photo", "windows"])
def test_attention_is_segment_anythings_at_the_published_sizes(
    dimension: int, heads: int, batch: int, side: int
) -> None:
    original = attention(dimension, heads, side)
    x = torch.randn(batch, side, side, dimension)
    expected = original(x)
    torch.testing.assert_close(StripAttention(original)(x), expected, atol=1e-5, rtol=1e-4)


def test_embeddings_are_segment_anythings() -> None:
    original = encoder()
    changed = copy.deepcopy(original)
    slim(changed, torch.float32)
    expected = embedded(original, photo(336))
    torch.testing.assert_close(embedded(changed, photo(336)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_no_less_accurate_than_segment_anythings(dtype: torch.dtype) -> None:
    original = encoder()
    exact = embedded(original, photo(336))
    theirs = embedded(original, photo(336), dtype) - exact
    changed = copy.deepcopy(original)
    slim(changed, dtype)
    ours = embedded(changed, photo(336), dtype) - exact
    assert 0 < ours.square().mean() <= 1.02 * theirs.square().mean()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("in_strips", [False, True], ids=["segment-anything", "in strips"])
def test_weights_in_half_precision_change_no_bit(dtype: torch.dtype, in_strips: bool) -> None:
    """Autocast casts the same weights to the same type, only in every forward pass."""
    single = encoder()
    if in_strips:
        slim(single, torch.float32)
    half = copy.deepcopy(single)
    for module in half.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.to(dtype)
    assert torch.equal(embedded(single, photo(336), dtype), embedded(half, photo(336), dtype))


def test_what_autocast_leaves_in_float32_stays_so() -> None:
    changed = encoder()
    slim(changed, torch.bfloat16)
    of_type: dict[torch.dtype, set[str]] = {torch.float32: set(), torch.bfloat16: set()}
    for name, parameter in changed.named_parameters():
        of_type[parameter.dtype].add(name.rsplit(".", 2)[-2] if "." in name else name)
    assert of_type[torch.bfloat16] == {"qkv", "proj", "lin1", "lin2", "0", "2"}
    assert of_type[torch.float32] == {"pos_embed", "attn", "norm1", "norm2", "1", "3"}


def test_nearly_all_weights_take_half_the_memory() -> None:
    with torch.device("meta"):
        whole = build_sam(PUBLISHED["vit_h"]).image_encoder
    before = sum(parameter.nbytes for parameter in whole.parameters())
    slim(whole, torch.bfloat16)
    assert sum(parameter.nbytes for parameter in whole.parameters()) < 0.52 * before


def test_the_keys_of_the_weights_stay(sam: Sam) -> None:
    changed = copy.deepcopy(sam)
    slim(changed.image_encoder, torch.float32)
    assert list(changed.state_dict()) == list(sam.state_dict())
    assert str(sam.image_encoder.blocks[0].attn).startswith("Attention")  # the original's own


def test_a_move_takes_all_along_and_keeps_the_types(sam: Sam) -> None:
    changed = copy.deepcopy(sam)
    slim(changed.image_encoder, torch.bfloat16)
    before = {name: value.dtype for name, value in changed.named_parameters()}
    changed.to(torch.device("meta"))
    assert {name: value.dtype for name, value in changed.named_parameters()} == before
    assert all(value.is_meta for value in (*changed.parameters(), *changed.buffers()))
