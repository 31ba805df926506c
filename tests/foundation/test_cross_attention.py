"""Captured attention against full attention maps computed from the layers' inputs by another route.

`watched` records what goes into every cross-attention layer of an ordinary pipeline call;
`maps_in_full` computes from it every head's whole softmax map in float64 and follows the recipe
word by word: conditional half, each map resized to the largest, average, mean over the tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTokenizer

from foundation.cross_attention import CrossAttentionCapture
from foundation.interfaces import GeneratedImage, Prompt
from foundation.text_to_image import DiffusersTextToImage, category_token_indices
from schemas.errors import ModelError

STEPS = 3


def prompt(text: str, name: str) -> Prompt:
    """The name's last occurrence in the text is the category."""
    start = text.rindex(name)
    return Prompt(text, start, start + len(name))


HOUSE = prompt("a photo of a house", "house")
FISHBOWL = prompt("a photo of a fishbowl", "fishbowl")
REPEATED = prompt("a boat photo of a boat", "boat")
SEVERAL_WORDS = prompt("a photo of a fish boat on a house", "fish boat")
FIRST = Prompt("house of fish", 0, 5)


@dataclass
class Watched:
    """Inputs (module, hidden states, text states) of cross-attention layers, in order."""

    calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = field(default_factory=list)


@contextlib.contextmanager
def watched(unet: nn.Module) -> Iterator[Watched]:
    record = Watched()

    def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
        record.calls.append((module, args[0].clone(), kwargs["encoder_hidden_states"].clone()))

    handles = [
        module.register_forward_pre_hook(note, with_kwargs=True)
        for name, module in unet.named_modules()
        if name.endswith("attn2")
    ]
    yield record
    for handle in handles:
        handle.remove()


def maps_in_full(
    record: Watched, tokens: list[list[int]], latent: tuple[int, int], guidance: bool
) -> np.ndarray:
    sizes = {latent[0] * latent[1]: latent}
    half = (-(-latent[0] // 2), -(-latent[1] // 2))
    sizes[half[0] * half[1]] = half
    maps: list[list[torch.Tensor]] = [[] for _ in tokens]
    with torch.no_grad():
        for module, hidden, text in record.calls:
            query, key = module.to_q(hidden).double(), module.to_k(text).double()
            width = query.shape[-1] // module.heads
            for image in range(len(tokens)):
                row = image + len(tokens) if guidance else image
                for head in range(module.heads):
                    columns = slice(head * width, (head + 1) * width)
                    scores = query[row, :, columns] @ key[row, :, columns].T / width**0.5
                    full = torch.softmax(scores, dim=-1).T.reshape(1, -1, *sizes[len(scores)])
                    resized = F.interpolate(full, latent, mode="bilinear", align_corners=False)
                    maps[image].append(resized[0])
    return np.stack(
        [
            torch.stack(of_image).mean(0)[columns].mean(0).numpy()
            for of_image, columns in zip(maps, tokens, strict=True)
        ]
    )


def generate(
    pipeline: StableDiffusionPipeline,
    prompts: list[Prompt],
    guidance: float,
    size: tuple[int, int] = (16, 16),
) -> tuple[list[GeneratedImage], Watched]:
    model = DiffusersTextToImage(pipeline, STEPS, guidance, *size)
    with watched(pipeline.unet) as record:
        images = model.generate(prompts, list(range(len(prompts))))
    return images, record


def positions(tokenizer: CLIPTokenizer, prompt: Prompt) -> list[int]:
    """The name's token positions, by counting the tokens of the text before it and of the name."""
    before = len(tokenizer(prompt.text[: prompt.start], add_special_tokens=False).input_ids)
    name = len(tokenizer(prompt.name, add_special_tokens=False).input_ids)
    return list(range(1 + before, 1 + before + name))


@pytest.mark.parametrize("guidance", [7.5, 1.0], ids=["guidance", "no guidance"])
@pytest.mark.parametrize("size", [(16, 16), (24, 16), (40, 56)], ids=str)
@pytest.mark.parametrize(
    "prompts",
    [[HOUSE], [FISHBOWL, HOUSE, REPEATED, SEVERAL_WORDS, FIRST]],
    ids=["one prompt", "five prompts"],
)
def test_maps_are_the_full_attention_probabilities(
    pipeline: StableDiffusionPipeline,
    tokenizer: CLIPTokenizer,
    prompts: list[Prompt],
    size: tuple[int, int],
    guidance: float,
) -> None:
    images, record = generate(pipeline, prompts, guidance, size)
    tokens = [positions(tokenizer, prompt) for prompt in prompts]
    latent = (size[0] // 2, size[1] // 2)
    expected = maps_in_full(record, tokens, latent, guidance > 1)
    for image, map_ in zip(images, expected, strict=True):
        assert image.attention.dtype == np.float32
        assert image.attention.shape == latent
        assert np.abs(image.attention - map_).max() <= 1e-4 * map_.max()
        assert map_.max() > 1.3 * map_.min()  # a flat map would prove nothing


def test_the_unconditional_half_and_other_tokens_would_not_pass(
    pipeline: StableDiffusionPipeline, tokenizer: CLIPTokenizer
) -> None:
    images, record = generate(pipeline, [REPEATED], 7.5)
    right, earlier = positions(tokenizer, REPEATED), [2]
    assert tokenizer(REPEATED.text).input_ids[2] == tokenizer(REPEATED.text).input_ids[right[0]]
    for tokens, conditional in [(right, False), (earlier, True)]:
        wrong = maps_in_full(record, [tokens], (8, 8), conditional)[0]
        assert np.abs(images[0].attention - wrong).max() > 1e-2 * wrong.max()


@pytest.mark.parametrize("guidance", [7.5, 1.0])
def test_images_are_the_same_with_and_without_capture(
    pipeline: StableDiffusionPipeline, guidance: float
) -> None:
    images, _ = generate(pipeline, [HOUSE, FISHBOWL], guidance, (16, 24))
    plain = pipeline(
        prompt=[HOUSE.text, FISHBOWL.text],
        height=16,
        width=24,
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in (0, 1)],
        output_type="pil",
    ).images
    for image, expected in zip(images, plain, strict=True):
        np.testing.assert_array_equal(image.image, np.array(expected))


def test_nothing_stays_behind_also_after_an_error(pipeline: StableDiffusionPipeline) -> None:
    with (
        pytest.raises(ModelError),
        CrossAttentionCapture(pipeline.unet, [[1], [2]]),
    ):
        unet_call(pipeline, 3)
    for module in pipeline.unet.modules():
        assert not module._forward_pre_hooks
        assert not module._forward_hooks


def test_every_layer_keeps_its_processor(pipeline: StableDiffusionPipeline) -> None:
    before = dict(pipeline.unet.attn_processors)
    with CrossAttentionCapture(pipeline.unet, [[1]]):
        for name, processor in pipeline.unet.attn_processors.items():
            assert processor is before[name]


def unet_call(pipeline: StableDiffusionPipeline, batch: int) -> None:
    text = torch.randn(batch, 16, 16)
    with torch.no_grad():
        pipeline.unet(torch.randn(batch, 4, 8, 8), 1, encoder_hidden_states=text)


def test_a_batch_that_does_not_fit_the_prompts_is_an_error(
    pipeline: StableDiffusionPipeline,
) -> None:
    with (
        CrossAttentionCapture(pipeline.unet, [[1], [2]]),
        pytest.raises(ModelError, match=r"UNet batch of 2 .* or 4 .*found 3"),
    ):
        unet_call(pipeline, 3)


def test_odd_latents_keep_their_shape(pipeline: StableDiffusionPipeline) -> None:
    with CrossAttentionCapture(pipeline.unet, [[1]]) as capture, torch.no_grad():
        latents = torch.randn(1, 4, 9, 7)
        pipeline.unet(latents, 1, encoder_hidden_states=torch.randn(1, 16, 16))
    assert capture.maps().shape == (1, 9, 7)


def test_nothing_generated_and_nothing_to_watch_are_errors(
    pipeline: StableDiffusionPipeline,
) -> None:
    with (
        CrossAttentionCapture(pipeline.unet, [[1]]) as capture,
        pytest.raises(ModelError, match="no attention was captured"),
    ):
        capture.maps()
    with (
        pytest.raises(ModelError, match="found none in Linear"),
        CrossAttentionCapture(nn.Linear(1, 1), [[1]]),
    ):
        pass


@pytest.mark.parametrize("case", [HOUSE, FISHBOWL, REPEATED, SEVERAL_WORDS, FIRST], ids=str)
def test_token_indices_are_the_names(tokenizer: CLIPTokenizer, case: Prompt) -> None:
    assert category_token_indices(tokenizer, case) == positions(tokenizer, case)
