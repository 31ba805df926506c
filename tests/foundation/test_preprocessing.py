"""What a model folder says about its pixel values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from foundation.preprocessing import (
    CLIP,
    IMAGENET,
    Normalisation,
    read_normalisation,
    resize,
    to_pixels,
)
from schemas.errors import ModelError


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
    small = resize(to_pixels(stripes), (16, 12))
    assert small.shape == (1, 3, 16, 12)
    assert (small - 0.5).abs().max() < 0.03
    stripes[:, :80], stripes[:, 80:] = 0, 255  # bicubic overshoots at an edge
    large = resize(to_pixels(stripes), (320, 320))
    assert (large.min(), large.max()) == (0, 1)
