"""Patch tokens: which patches, of what, in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from foundation.images.preprocessing import IMAGENET, Normalisation
from foundation.patch_features import MAX_ASPECT, PatchFeatures
from schemas.errors import ImageError
from tests.foundation.conftest import make_dinov2, make_dinov3

RANDOM = np.random.default_rng(0)


def picture(height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["plain", "registers", "dinov3"])
def model(request: pytest.FixtureRequest) -> Any:
    if request.param == "dinov3":
        return make_dinov3()
    return make_dinov2(registers=3 if request.param == "registers" else 0)


def test_tokens_are_the_models_own_without_class_and_registers(model: Any) -> None:
    image = picture(16, 24)  # already of the right size: nothing is resampled
    (tokens,) = PatchFeatures(model, size=16).extract([image])
    assert tokens.dtype == np.float32
    assert tokens.shape == (4, 6, 16)
    scaled = (image / 255 - IMAGENET.mean) / IMAGENET.std
    pixels = torch.tensor(scaled.transpose(2, 0, 1)[None], dtype=torch.float32)
    with torch.no_grad():
        hidden = model(pixel_values=pixels).last_hidden_state[0].numpy()
    np.testing.assert_allclose(tokens.reshape(24, 16), hidden[-24:], atol=1e-5)
    assert len(hidden) == 24 + 1 + getattr(model.config, "num_register_tokens", 0)


def test_a_token_stands_where_its_patch_is(model: Any) -> None:
    features = PatchFeatures(model, size=16)
    plain = np.full((16, 24, 3), 100, np.uint8)
    spotted = plain.copy()
    spotted[8:12, 20:24] = 255
    before, after = features.extract([plain, spotted])
    change = np.abs(after - before).sum(-1)
    assert np.unravel_index(change.argmax(), change.shape) == (2, 5)


@pytest.mark.parametrize(
    ("image_size", "grid"),
    [
        ((16, 16), (4, 4)),
        ((100, 100), (4, 4)),
        ((10, 20), (4, 8)),
        ((20, 10), (8, 4)),
        ((100, 130), (4, 5)),
        ((100, 144), (4, 6)),
        ((1, 1), (4, 4)),
        ((10, 40), (4, 16)),
        ((10, 400), (1, 16)),
        ((1, 5000), (1, 16)),
    ],
)
def test_the_grid_keeps_the_aspect(
    model: Any, image_size: tuple[int, int], grid: tuple[int, int]
) -> None:
    features = PatchFeatures(model, size=16)
    assert features.grid(image_size) == grid
    assert max(grid) <= MAX_ASPECT * 4
    (tokens,) = features.extract([picture(*image_size)])
    assert tokens.shape == (*grid, features.dimension)


def test_a_size_that_is_no_whole_number_of_patches_is_rounded(model: Any) -> None:
    assert PatchFeatures(model, size=18).grid((50, 100)) == (5, 9)
    assert PatchFeatures(model, size=17).grid((50, 100)) == (4, 9)


def test_images_of_many_sizes_come_back_in_order(model: Any) -> None:
    images = [picture(16, 16), picture(10, 30), picture(32, 32), picture(30, 10), picture(16, 17)]
    features = PatchFeatures(model, size=16, batch_size=2)
    together = features.extract(images)
    for image, tokens in zip(images, together, strict=True):
        np.testing.assert_allclose(tokens, features.extract([image])[0], atol=1e-5)


def test_the_same_call_gives_the_same_bytes(model: Any) -> None:
    images = [picture(33, 20), picture(16, 16)]
    features = PatchFeatures(model, size=16)
    for a, b in zip(features.extract(images), features.extract(images), strict=True):
        assert a.tobytes() == b.tobytes()


def test_normalisation_is_the_models(model: Any) -> None:
    image = picture(16, 16)
    half = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    (default,) = PatchFeatures(model, size=16).extract([image])
    (other,) = PatchFeatures(model, size=16, normalisation=half).extract([image])
    assert np.abs(default - other).max() > 1e-3


def test_no_images_and_wrong_images(model: Any) -> None:
    features = PatchFeatures(model, size=16)
    assert features.extract([]) == []
    with pytest.raises(ImageError, match="expected uint8"):
        features.extract([np.zeros((4, 4), np.uint8)])
