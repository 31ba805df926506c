"""The cross-attention map at the size of its image: scaled, binarised, or without contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bank_builder.localise import contrast, localise
from schemas.sections import Localisation as LocalisationSettings

OTSU = LocalisationSettings(method="otsu", min_contrast=0.05)


def blob(side: int = 8) -> np.ndarray:
    """A map whose right lower quarter is the category."""
    attention = np.full((side, side), 0.1, dtype=np.float32)
    attention[side // 2 :, side // 2 :] = 0.9
    return attention


def test_otsu_finds_the_part_of_the_image_that_the_word_looks_at() -> None:
    found = localise(blob(), (64, 64), OTSU)

    assert not found.everywhere
    assert found.binary[40:, 40:].all()
    assert not found.binary[:24].any()
    assert found.contrast == pytest.approx(0.8)
    assert (found.scaled.min(), found.scaled.max()) == (0, 1)
    assert found.scaled.dtype == np.float32


def test_the_map_is_resized_as_torch_resizes_without_aligned_corners() -> None:
    attention = np.random.default_rng(0).random((5, 7), dtype=np.float32)

    scaled = localise(attention, (31, 40), OTSU).scaled

    resized = torch.nn.functional.interpolate(
        torch.from_numpy(attention)[None, None], size=(31, 40), mode="bilinear"
    )[0, 0].numpy()
    low, high = resized.min(), resized.max()
    np.testing.assert_allclose(scaled, (resized - low) / (high - low), atol=1e-5)


def test_a_fixed_threshold_is_applied_to_the_scaled_map() -> None:
    ramp = np.linspace(1, 2, 16, dtype=np.float32)[None].repeat(16, axis=0)

    found = localise(ramp, (16, 16), LocalisationSettings(method="threshold", threshold=0.75))

    assert found.binary.mean() == pytest.approx(0.25)


def test_noise_without_contrast_counts_as_everywhere() -> None:
    noise = 1 + 0.01 * np.random.default_rng(0).random((16, 16), dtype=np.float32)

    found = localise(noise, (32, 32), OTSU)

    assert found.everywhere
    assert found.binary.all()
    assert found.scaled.max() == 1  # still says where the maximum is


def test_otsu_alone_would_have_called_half_of_the_noise_foreground() -> None:
    noise = 1 + 0.01 * np.random.default_rng(0).random((16, 16), dtype=np.float32)

    found = localise(noise, (32, 32), LocalisationSettings(method="otsu", min_contrast=0.0))

    assert 0.2 < found.binary.mean() < 0.8


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_a_constant_map_is_everywhere_or_with_the_check_off_nowhere(level: float) -> None:
    flat = np.full((4, 4), level, dtype=np.float32)

    assert localise(flat, (8, 8), OTSU).everywhere
    assert not localise(flat, (8, 8), LocalisationSettings(min_contrast=0.0)).binary.any()


@given(st.floats(0.001, 1000.0))
def test_contrast_does_not_depend_on_the_scale_of_the_map(factor: float) -> None:
    assert contrast(blob() * factor) == pytest.approx(contrast(blob()), rel=1e-5)


@pytest.mark.parametrize(
    "broken",
    [
        np.full((4, 4), np.nan, dtype=np.float32),
        np.full((4, 4), -1, dtype=np.float32),
        np.zeros((1, 4, 4), dtype=np.float32),
        np.zeros((0, 4), dtype=np.float32),
    ],
)
def test_a_broken_map_is_an_error(broken: np.ndarray) -> None:
    with pytest.raises(ValueError, match="attention map"):
        localise(broken, (8, 8), OTSU)
