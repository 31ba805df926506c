"""Localises the category in its image: scales and binarises its cross-attention map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.filters import threshold_otsu

from schemas.sections import Localisation as LocalisationSettings


@dataclass(frozen=True)
class Localisation:
    """A cross-attention map at the size of its image.

    Attributes:
        binary: (H, W) bool, True = the category; all True where `everywhere`.
        scaled: (H, W) float32 in [0, 1], the map resized to the image, then min-max scaled.
        contrast: (max - min) / (max + min) of the map as the generator gave it, in [0, 1].
        everywhere: the map has too little contrast to say where the category is.
    """

    binary: NDArray[np.bool_]
    scaled: NDArray[np.float32]
    contrast: float
    everywhere: bool


def contrast(attention: NDArray[np.floating]) -> float:
    """Michelson contrast (max - min) / (max + min) of a non-negative map; 0 if it is all zero."""
    low, high = float(attention.min()), float(attention.max())
    return (high - low) / (high + low) if high > 0 else 0.0


def min_max_scaled(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """`values` stretched to [0, 1] as float32; a constant map becomes all 0 [peer: OVDiff]."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros(values.shape, dtype=np.float32)
    scaled = (values.astype(np.float64) - low) / (high - low)
    return scaled.astype(np.float32)


def localise(
    attention: NDArray[np.float32], size: tuple[int, int], settings: LocalisationSettings
) -> Localisation:
    """Resizes a cross-attention map to its image, scales it per image and binarises it.

    The map is resized bilinearly (pixel centres at integers, edges clamped) and min-max scaled
    [peer: OVDiff]. Above Otsu's threshold, or above a fixed one, a pixel is foreground [ours].
    Otsu marks half of a flat map of noise as foreground, so the contrast is taken before any
    scaling, and a map below `settings.min_contrast` counts as "everywhere": the whole image is
    foreground [ours].

    Args:
        attention: (h, w) float32, non-negative and finite, unscaled.
        size: (height, width) of the image in pixels.
        settings: `method` ("otsu" or "threshold"), `threshold` in [0, 1], `min_contrast` in [0, 1].

    Raises:
        ValueError: the map is not two-dimensional or has negative or non-finite values.
    """
    if attention.ndim != 2 or attention.size == 0:
        raise ValueError(f"attention map: expected (h, w), found shape {attention.shape}")
    if not np.isfinite(attention).all() or attention.min() < 0:
        raise ValueError("attention map: expected finite values >= 0, found others")
    found_contrast = contrast(attention)
    scaled = min_max_scaled(_resized(attention, size))
    everywhere = found_contrast < settings.min_contrast
    binary = np.ones(size, dtype=bool) if everywhere else scaled > _threshold(scaled, settings)
    return Localisation(binary, scaled, found_contrast, everywhere)


def _resized(attention: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = size
    image = Image.fromarray(np.ascontiguousarray(attention, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)


def _threshold(scaled: NDArray[np.float32], settings: LocalisationSettings) -> float:
    if settings.method == "threshold" or scaled.min() == scaled.max():
        return settings.threshold
    return float(threshold_otsu(scaled))
