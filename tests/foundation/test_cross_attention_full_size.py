"""Captured attention at the true shapes of Stable Diffusion v1.5 and XL, with random weights.

`make test-slow` runs the published widths, heads and token counts with fewer layers and smaller
latents; `make stress` runs the whole architectures at their own sizes. The expected maps are
computed in full, in float64 and one head at a time, from what went into each cross-attention layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.full_size.architectures import TOKENS, sd15, sdxl
from foundation.interfaces import Prompt
from foundation.text_to_image import DiffusersTextToImage
from schemas.errors import UsageError
from tests.foundation.test_cross_attention import positions, watched

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(  # within diffusers' Euler scheduler
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

FEWER = {"layers_per_block": 1}
FEWER_XL = FEWER | {"transformer_layers_per_block": (1, 1, 2)}


@dataclass(frozen=True)
class Case:
    """A pipeline, the prompts of a batch, the guidance and the (height, width) of the images."""

    make: Callable[..., Any]
    sizes: dict[str, Any]
    prompts: tuple[Prompt, ...]
    guidance: float
    size: tuple[int, int]


def prompt(text: str, name: str) -> Prompt:
    start = text.rindex(name)
    return Prompt(text, start, start + len(name))


HOUSE = prompt("a photo of a house", "house")
TWICE = prompt("a photo of a photo", "photo")  # the word also stands in the template
LONG = prompt("a photo of a traffic light on wheels", "traffic light")
CASES = {
    "SD v1.5, guided, two prompts": Case(sd15, FEWER, (TWICE, LONG), 7.5, (256, 320)),
    "SD v1.5, unguided, upright": Case(sd15, FEWER, (LONG,), 1.0, (512, 384)),
    "SDXL, unguided, wide": Case(sdxl, FEWER_XL, (TWICE,), 1.0, (512, 768)),
}
WHOLE = {
    "SD v1.5, guided, three prompts": Case(sd15, {}, (HOUSE, TWICE, LONG), 7.5, (512, 512)),
    "SD v1.5, unguided, wide": Case(sd15, {}, (LONG, HOUSE), 1.0, (384, 640)),
    "SDXL, guided": Case(sdxl, {}, (LONG,), 5.0, (1024, 1024)),
    "SDXL, unguided, upright": Case(sdxl, {}, (TWICE, HOUSE), 1.0, (1024, 768)),
}


def maps_in_full(
    calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]],
    tokens: list[list[int]],
    latent: tuple[int, int],
    guided: bool,
) -> np.ndarray:
    """(B, h, w): every head's map on the finest grid that occurs, averaged."""
    grids = {
        (latent[0] >> k) * (latent[1] >> k): (latent[0] >> k, latent[1] >> k) for k in range(4)
    }
    finest = grids[max(hidden.shape[1] for _, hidden, _ in calls)]
    sums = torch.zeros(len(tokens), *finest, dtype=torch.float64)
    heads = 0
    for module, hidden, text in calls:
        query, key = module.to_q(hidden).double(), module.to_k(text).double()
        width = query.shape[-1] // module.heads
        heads += module.heads
        for image, columns in enumerate(tokens):
            row = image + len(tokens) if guided else image
            for head in range(module.heads):
                part = slice(head * width, (head + 1) * width)
                scores = query[row, :, part] @ key[row, :, part].T / width**0.5
                assert scores.shape[1] == TOKENS
                full = torch.softmax(scores, dim=-1).T.reshape(1, TOKENS, *grids[len(scores)])
                resized = F.interpolate(full, finest, mode="bilinear", align_corners=False)
                sums[image] += resized[0, columns].mean(0)
    return (sums / heads).numpy()


def check(case: Case) -> None:
    pipeline = case.make(**case.sizes)
    pipeline.vae.decode = _grey  # what is decoded does not matter here, and takes long
    model = DiffusersTextToImage(pipeline, 1, case.guidance, *case.size)
    with watched(pipeline.unet) as record, torch.no_grad():
        images = model.generate(case.prompts, list(range(len(case.prompts))))
        tokens = [positions(pipeline.tokenizer, one) for one in case.prompts]
        latent = (case.size[0] // 8, case.size[1] // 8)
        expected = maps_in_full(record.calls, tokens, latent, case.guidance > 1)
    for image, map_ in zip(images, expected, strict=True):
        assert image.attention.shape == map_.shape
        assert np.abs(image.attention - map_).max() <= 1e-4 * map_.max()
        assert map_.max() > 1.01 * map_.min()  # a flat map would prove nothing


def _grey(latents: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
    return (torch.zeros(len(latents), 3, latents.shape[2] * 8, latents.shape[3] * 8),)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_maps_are_exact_at_the_true_shapes(case: Case) -> None:
    check(case)


@pytest.mark.stress
@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_maps_are_exact_in_the_whole_architectures(case: Case) -> None:
    check(case)


def test_a_name_beyond_the_limit_of_the_text_encoder_is_refused() -> None:
    name = "supercalifragilistic" * 6
    model = DiffusersTextToImage(_Words(), 1, 7.5, 512, 512)
    with pytest.raises(UsageError, match=f"at most {TOKENS - 2} tokens"):
        model.generate([prompt(f"a photo of a {name}", name)], [0])


class _Words:
    """A pipeline of which nothing but the tokenizer is needed."""

    def __init__(self) -> None:
        from diffusers import PNDMScheduler

        from benchmarks.full_size.architectures import tokenizer

        self.tokenizer = tokenizer()
        self.scheduler = PNDMScheduler(skip_prk_steps=True)
        self.vae_scale_factor = 8

    def set_progress_bar_config(self, **_: Any) -> None: ...
