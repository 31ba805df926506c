"""Stable Diffusion's own safety checker in the published folder: flags and black images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from foundation.interfaces import Prompt
from tests.foundation.against.loading import load

PROMPTS = [Prompt("a photo of a house", 13, 18), Prompt("a photo of grass", 11, 16)]
SETTINGS = {"steps": 2, "guidance_scale": 7.5, "height": 64, "width": 64}


def plain_call(folder: Path) -> tuple[StableDiffusionPipeline, Any]:
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        [prompt.text for prompt in PROMPTS],
        num_inference_steps=SETTINGS["steps"],
        guidance_scale=SETTINGS["guidance_scale"],
        height=SETTINGS["height"],
        width=SETTINGS["width"],
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in (0, 1)],
    )
    return pipeline, output


@pytest.fixture
def folder(tmp_path: Path, pipelines: Callable[[str], Path]) -> Path:
    """The published folder with a checker that flags the second image and not the first.

    Sixteen concepts are random with thresholds out of reach. The last one is the difference between
    the embeddings of the two images, above 0 for the second alone.
    """
    path = tmp_path / "sd15"
    shutil.copytree(pipelines("sd15"), path)
    pipeline, output = plain_call(path)
    assert output.nsfw_content_detected == [False, False]
    pixels = pipeline.feature_extractor(output.images, return_tensors="pt").pixel_values
    checker = pipeline.safety_checker
    with torch.no_grad():
        embeddings = checker.visual_projection(checker.vision_model(pixels)[1])
    first, second = torch.nn.functional.normalize(embeddings)
    file = path / "safety_checker" / "model.safetensors"
    tensors = load_file(file)
    tensors["concept_embeds"] = torch.randn(17, 768, generator=torch.Generator().manual_seed(0))
    tensors["concept_embeds"][-1] = second - first
    tensors["concept_embeds_weights"][-1] = 0
    save_file(tensors, file, metadata={"format": "pt"})
    return path


def test_flagged_images_are_the_librarys(folder: Path) -> None:
    _, output = plain_call(folder)
    assert output.nsfw_content_detected == [False, True]
    calls = [f"generation.{key}={value}" for key, value in SETTINGS.items()]
    made = load("text_to_image", folder, *calls).generate(PROMPTS, [0, 1])
    assert [image.flagged for image in made] == [False, True]
    for image, expected in zip(made, output.images, strict=True):
        np.testing.assert_array_equal(image.image, np.asarray(expected))
    assert made[0].image.any()
    assert not made[1].image.any()
    assert made[1].attention.max() > made[1].attention.min() > 0
