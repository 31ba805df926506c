"""The folded mask decoder against segment-anything's own."""

from __future__ import annotations

import pytest
import torch
from segment_anything.modeling import MaskDecoder, Sam, TwoWayTransformer

from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import load_sam
from foundation.sam_decoder import PointDecoder
from foundation.stack import ModelStack
from miniature.world import FIRST_UNSEEN_SEED, draw_scene
from schemas.settings import load_settings

PROMPTS = 5


@pytest.fixture(scope="module")
def sam() -> Sam:
    settings = load_settings("miniature")
    path = ModelStack(settings, device="cpu").path("segmenter")
    return load_sam(settings.models.segmenter, path)


def both(
    decoder: MaskDecoder, inputs: tuple[torch.Tensor, ...]
) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    with torch.no_grad():
        features, position, sparse, dense = inputs
        folded = PointDecoder(decoder)(features, position, sparse, dense[:1])
        return folded, decoder(*inputs, multimask_output=True)


def check(decoder: MaskDecoder, inputs: tuple[torch.Tensor, ...]) -> None:
    (logits, quality), (expected, expected_quality) = both(decoder, inputs)
    assert logits.shape == expected.shape
    assert quality.shape == expected_quality.shape == (PROMPTS, 3)
    assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (quality - expected_quality).abs().max() <= 1e-5 * expected_quality.abs().max()
    assert ((logits > 0) != (expected > 0)).float().mean() <= 1e-5


@pytest.mark.parametrize("points", [1, 4])
def test_masks_of_a_scene(sam: Sam, points: int) -> None:
    embedding = SamSegmenter(sam).embed(draw_scene(FIRST_UNSEEN_SEED).image)
    places = torch.rand(PROMPTS, points, 2, generator=torch.Generator().manual_seed(0)) * 128
    prompts = (places, torch.ones(PROMPTS, points, dtype=torch.int32))
    sparse, dense = sam.prompt_encoder(points=prompts, boxes=None, masks=None)
    check(sam.mask_decoder, (embedding.features, sam.prompt_encoder.get_dense_pe(), sparse, dense))


@pytest.fixture
def published() -> MaskDecoder:
    """A decoder of the published sizes in which every weight and bias counts."""
    torch.manual_seed(0)
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    decoder = MaskDecoder(transformer_dim=256, transformer=transformer, num_multimask_outputs=3)
    for parameter in decoder.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.3)
    return decoder.eval()


def random_inputs(height: int, width: int) -> tuple[torch.Tensor, ...]:
    image = (1, 256, height, width)
    return (
        torch.randn(image),
        torch.randn(image),
        torch.randn(PROMPTS, 3, 256),
        torch.randn(image),
    )


@pytest.mark.parametrize("size", [(16, 16), (8, 12)])
def test_published_sizes_with_random_weights(published: MaskDecoder, size: tuple[int, int]) -> None:
    check(published, random_inputs(*size))


def test_every_bias_counts(published: MaskDecoder) -> None:
    """So that the comparison above would notice one that is left out."""
    inputs = random_inputs(8, 8)
    (before, _), _ = both(published, inputs)
    # A softmax does not notice a key's bias; the others make no masks.
    without = ("k_proj.bias", "output_hypernetworks_mlps.0", "iou_prediction_head")
    for name, parameter in published.named_parameters():
        if parameter.ndim > 1 or any(part in name for part in without):
            continue
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter))
        (after, _), _ = both(published, inputs)
        with torch.no_grad():
            parameter.copy_(kept)
        assert not torch.allclose(before, after, rtol=1e-4, atol=1e-4), name
