"""What networks compute in, and that float32 is all that others see of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import (
    StableDiffusionSafetyChecker,
    cosine_distance,
)
from transformers import CLIPConfig

from bank_builder.localise import localise
from foundation.images.masks import mask_iou
from foundation.interfaces import GeneratedImage, Prompt
from foundation.precision import checker_type, compute_in, fast_type
from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import load_sam
from foundation.stack import ModelStack
from miniature.world import FIRST_UNSEEN_SEED, draw_scene
from schemas.settings import load_settings
from tests.foundation.conftest import make_pipeline

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)


@pytest.mark.parametrize(("generation", "dtype"), [(9, torch.bfloat16), (7, torch.float16)])
def test_a_gpu_computes_in_what_it_has(
    generation: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (generation, 0))
    assert fast_type(GPU) == dtype


@pytest.mark.parametrize(
    ("has", "dtype"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_f": True}, torch.float32),
        ({"architecture": "aarch64"}, torch.float32),
    ],
)
def test_a_cpu_computes_in_what_it_has(
    has: dict[str, object], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert fast_type(CPU) == dtype


def denoise(unet: UNet2DConditionModel, **how: bool) -> Any:
    torch.manual_seed(0)
    width = unet.config.cross_attention_dim
    with torch.no_grad():
        return unet(
            torch.randn(1, 4, 8, 8), 3, encoder_hidden_states=torch.randn(1, 6, width), **how
        )


def test_what_goes_in_and_out_of_a_half_network_is_float32() -> None:
    unet = make_pipeline().unet
    before = denoise(unet).sample
    compute_in(unet, torch.bfloat16)
    assert {parameter.dtype for parameter in unet.parameters()} == {torch.bfloat16}
    after = denoise(unet).sample
    (same,) = denoise(unet, return_dict=False)
    assert after.dtype == same.dtype == torch.float32
    assert torch.equal(after, same)
    assert not torch.equal(before, after)
    assert (before - after).abs().max() < 0.05 * before.abs().max()


def checker() -> Any:
    """A safety checker in small, whose thresholds lie amid the cosines of random images."""
    torch.manual_seed(0)
    vision = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 28,
        "patch_size": 14,
    }
    made = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=32))
    with torch.no_grad():
        made.concept_embeds.normal_()
        made.special_care_embeds.normal_()
        made.concept_embeds_weights.fill_(0.35)
        made.special_care_embeds_weights.fill_(2.0)
    return made.eval()


@pytest.mark.filterwarnings("ignore")
def test_the_safety_checker_in_float16_flags_the_same_and_leaves_images_alone() -> None:
    single, half = checker(), checker()
    assert checker_type(GPU) == torch.float16
    assert checker_type(CPU) == torch.float32
    compute_in(half.vision_model, checker_type(GPU))
    pixels = torch.randn(40, 3, 28, 28)
    images = torch.rand(40, 3, 5, 5)
    _, expected = single(pixels, images.clone())
    passed, flags = half(clip_input=pixels, images=images.clone())
    assert flags == expected
    assert {True, False} == set(flags)
    for image, flag, left in zip(images, flags, passed, strict=True):
        assert torch.equal(left, torch.zeros_like(image) if flag else image)
    assert passed.dtype == torch.float32
    cosines = [
        cosine_distance(
            one.visual_projection(one.vision_model(pixels)[1]).detach(), one.concept_embeds
        )
        for one in (single, half)
    ]
    # Of the published thresholds, which are compared to three decimals.
    assert 0 < (cosines[0] - cosines[1]).abs().max() < 0.001


def test_time_steps_are_not_rounded() -> None:
    unet = make_pipeline().unet
    seen: list[torch.Tensor] = []
    unet.time_proj.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    compute_in(unet, torch.bfloat16)
    # A float, as the Euler scheduler of SD-Turbo and SDXL has it; the nearest bfloat16 is 500.
    with torch.no_grad():
        unet(torch.zeros(1, 4, 8, 8), torch.tensor(499.0), torch.zeros(1, 6, 16))
    assert [value.item() for value in seen] == [499.0]


def test_float32_changes_nothing() -> None:
    unet = make_pipeline().unet
    compute_in(unet, torch.float32)
    assert not unet._forward_hooks
    assert {parameter.dtype for parameter in unet.parameters()} == {torch.float32}


def drawn(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> list[GeneratedImage]:
    monkeypatch.setattr("foundation.text_to_image_loading.fast_type", lambda device: dtype)
    stack = ModelStack(load_settings("miniature", ["generation.steps=8"]), device="cpu")
    prompts = [Prompt(f"a photo of a {name}", 13, 13 + len(name)) for name in ("fish", "house")]
    return stack.text_to_image.generate(prompts, [0, 1])


@pytest.mark.slow
def test_pictures_and_attention_in_bfloat16_are_nearly_the_same(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    exact, half = drawn(torch.float32, monkeypatch), drawn(torch.bfloat16, monkeypatch)
    settings = load_settings("miniature").localisation
    for one, other in zip(exact, half, strict=True):
        difference = np.abs(one.image.astype(int) - other.image)
        assert 0 < difference.mean() < 2
        first, second = (
            localise(image.attention, (64, 64), settings).binary for image in (one, other)
        )
        assert mask_iou(first, second) > 0.95
    assert capfd.readouterr().err == ""


def test_masks_of_an_encoder_in_half_precision_are_nearly_the_same() -> None:
    stack = ModelStack(load_settings("miniature"), device="cpu")
    sam = load_sam(stack.settings.models.segmenter, stack.path("segmenter"))
    scene = draw_scene(FIRST_UNSEEN_SEED)
    points = np.array([[[32.0, 32.0]], [[64.0, 64.0]], [[96.0, 96.0]]])
    masks = []
    for dtype in (torch.float32, torch.bfloat16):
        segmenter = SamSegmenter(sam, encoder_dtype=dtype)
        embedding = segmenter.embed(scene.image)
        assert embedding.features.dtype == torch.float32
        logits = segmenter.predict(embedding, points).logits.flatten(0, 1)
        masks.append(segmenter.upsample(embedding, logits))
    assert not np.array_equal(*masks)  # it did compute in another type
    agreement = (masks[0] & masks[1]).sum((1, 2)) / (masks[0] | masks[1]).sum((1, 2))
    assert np.median(agreement) > 0.98
