"""Patch tokens against transformers' own image processor and model, loaded from the same folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from transformers import (
    AutoImageProcessor,
    AutoModel,
    BitImageProcessor,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

from benchmarks.full_size.architectures import seeded
from benchmarks.full_size.published import write_dinov2
from foundation.patch_features import PatchFeatures
from tests.foundation.against.loading import load

# Heads of 64 and position embeddings of 37 x 37 patches as published, interpolated on other grids.
SIZES: dict[str, Any] = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
MODELS: dict[str, Callable[[], Any]] = {
    "DINOv2": lambda: Dinov2Model(Dinov2Config(**SIZES, image_size=518, patch_size=14)),
    "DINOv2 with registers": lambda: Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(**SIZES, image_size=518, patch_size=14, num_register_tokens=4)
    ),
    "DINOv3": lambda: DINOv3ViTModel(
        DINOv3ViTConfig(**SIZES, intermediate_size=512, num_register_tokens=4)
    ),
}
GRID = (6, 9)


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features")
    with seeded():
        model = MODELS[request.param]()
        with torch.no_grad():
            for name, value in model.named_parameters():
                if "position_embeddings" in name or "register_tokens" in name:
                    value.normal_()
    write_dinov2(model, path)
    return path


def tokens_of(folder: Path, pixels: torch.Tensor) -> np.ndarray:
    """(gh, gw, d) float32 of pixel values (1, 3, H, W): the last tokens, row by row."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        hidden = model(pixel_values=pixels).last_hidden_state
    grid = [side // model.config.patch_size for side in pixels.shape[2:]]
    assert hidden.shape[1] == 1 + getattr(model.config, "num_register_tokens", 0) + np.prod(grid)
    tokens: np.ndarray = hidden[0, -int(np.prod(grid)) :].reshape(*grid, -1).numpy()
    return tokens


def ours(folder: Path) -> PatchFeatures:
    patch = AutoModel.from_pretrained(folder).config.patch_size
    features: PatchFeatures = load("features", folder, f"features.size={GRID[0] * patch}")
    return features


def test_tokens_of_an_image_of_the_right_size_are_the_librarys(folder: Path) -> None:
    features = ours(folder)
    patch = AutoModel.from_pretrained(folder).config.patch_size
    image = np.array(Image.fromarray(astronaut()).resize((GRID[1] * patch, GRID[0] * patch)))
    processor = AutoImageProcessor.from_pretrained(folder)
    pixels = processor(image, do_resize=False, do_center_crop=False, return_tensors="pt")
    expected = tokens_of(folder, pixels["pixel_values"])
    (tokens,) = features.extract([image])
    assert tokens.shape == (*GRID, 128)
    np.testing.assert_allclose(tokens, expected, atol=1e-4)
    assert expected.std(axis=(0, 1)).mean() > 0.01  # places differ


@pytest.mark.parametrize("kind", [BitImageProcessor, BitImageProcessorPil])
def test_resampling_strays_from_the_librarys_by_its_rounding(folder: Path, kind: Any) -> None:
    """The library rounds the resized pixels to whole numbers and clips overshoots, we do not round.

    Measured: tokens differ by 0.25 % to 0.45 %, the smallest cosine is 0.99996.
    """
    patch = AutoModel.from_pretrained(folder).config.patch_size
    photo = astronaut()[:340]
    size = {"height": GRID[0] * patch, "width": GRID[1] * patch}
    processor = kind.from_pretrained(folder)
    pixels = processor(photo, size=size, do_center_crop=False, return_tensors="pt")
    expected = tokens_of(folder, pixels["pixel_values"])
    (tokens,) = ours(folder).extract([photo])
    assert np.abs(tokens - expected).mean() < 0.01 * np.abs(expected).mean()
    lengths = np.linalg.norm(tokens, axis=-1) * np.linalg.norm(expected, axis=-1)
    assert ((tokens * expected).sum(-1) / lengths).min() > 0.9998
