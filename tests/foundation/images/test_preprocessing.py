"""What a model folder says about its pixel values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from foundation.images.preprocessing import (
    CLIP,
    IMAGENET,
    Normalisation,
    read_normalisation,
    resize,
    to_pixels,
)
from schemas.errors import ImageError, ModelError


def test_without_a_file_the_default_holds(tmp_path: Path) -> None:
    assert read_normalisation(tmp_path, IMAGENET) == IMAGENET


def test_the_file_wins(tmp_path: Path) -> None:
    config = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3], "size": 7}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert read_normalisation(tmp_path, IMAGENET) == Normalisation((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    (tmp_path / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    assert read_normalisation(tmp_path, CLIP) == CLIP


@pytest.mark.parametrize("content", ["", "[]", '{"image_mean": [1]}', '{"image_std": "abc"}'])
def test_a_damaged_file_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"preprocessor_config\.json"):
        read_normalisation(tmp_path, IMAGENET)


def test_channels_are_normalised_each_by_its_own() -> None:
    pixels = torch.full((2, 3, 4, 5), 0.5)
    applied = Normalisation((0.5, 0.0, 0.25), (1.0, 0.5, 0.25)).apply(pixels)
    assert applied.shape == pixels.shape
    assert applied[1, :, 3, 4].tolist() == [0.0, 1.0, 1.0]


def test_resizing_is_antialiased_and_stays_in_range() -> None:
    stripes = np.zeros((160, 160, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resize(stripes, (16, 12))
    assert small.shape == (1, 3, 16, 12)
    assert (small - 0.5).abs().max() < 0.03
    stripes[:, :80], stripes[:, 80:] = 0, 255  # bicubic overshoots at an edge
    large = resize(stripes, (320, 320))
    assert (large.min(), large.max()) == (0, 1)


@pytest.mark.parametrize("size", [(70, 84), (14, 700), (611, 14), (3, 2)], ids=str)
@pytest.mark.parametrize("at_once", [1, 401 * 7, 1 << 22])
def test_resizing_in_strips_is_resizing_at_once(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], at_once: int
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (103, 401, 3), np.uint8)
    whole = torch.nn.functional.interpolate(
        to_pixels(image), size, mode="bicubic", align_corners=False, antialias=True
    )
    monkeypatch.setattr("foundation.images.preprocessing._PIXELS_AT_ONCE", at_once)
    torch.testing.assert_close(resize(image, size), whole.clamp(0, 1), rtol=0, atol=1e-6)


def test_other_arrays_are_not_resized() -> None:
    for array in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ImageError, match=r"expected uint8 \(H, W, 3\)"):
            resize(array, (2, 2))
