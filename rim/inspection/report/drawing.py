"""Draws references: thumbnails, attention as heat over them, mask outlines and points as SVG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import find_contours

from foundation.images.masks import decode_rle
from foundation.images.reading import decode_png
from schemas.errors import ImageError
from schemas.rle import Rle

Rgba = NDArray[np.uint8]

# Anchors of the heat's colours from cold to hot, all readable on light and on dark images.
_HEAT: Final = np.array(
    [(24, 15, 62), (114, 31, 129), (205, 64, 113), (251, 135, 97), (252, 253, 191)], np.float64
)
_HEAT_ALPHA = (0.25, 0.9)  # of the coldest and the hottest pixel
_TOLERANCE = 0.2  # pixels of a thumbnail by which a corner of an outline may be left out
_ROUNDS = 4


@dataclass(frozen=True)
class Fit:
    """Where an image lies within its square thumbnail, in the thumbnail's pixels."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, size: tuple[int, int], side: int) -> Fit:
        """An image of (width, height), centred, its longer side filling the thumbnail."""
        longest = max(size)
        width, height = (max(1, round(length * side / longest)) for length in size)
        return cls((side - width) // 2, (side - height) // 2, width, height)

    def at(self, side: int) -> Fit:
        """Where the same image lies within a thumbnail of another side."""
        return Fit.of((self.width, self.height), side)


def thumbnail(png: bytes, side: int) -> tuple[Rgba, Fit]:
    """An image's thumbnail, RGBA (side, side, 4), clear where the image does not reach.

    Raises ImageError if it is no RGB PNG.
    """
    pixels = decode_png(png)
    if pixels.ndim != 3:
        raise ImageError(f"expected an RGB image, found one of shape {pixels.shape}")
    fit = Fit.of((pixels.shape[1], pixels.shape[0]), side)
    return _placed(_resized(np.asarray(pixels, np.uint8), fit), fit, side), fit


def reduced(image: Rgba, side: int) -> Rgba:
    """A thumbnail (s, s, 4) at another size, (side, side, 4)."""
    small = Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small, np.uint8)


def heat(png: bytes, fit: Fit, side: int) -> Rgba:
    """An attention map as colours to lay over its image's thumbnail, RGBA (side, side, 4).

    The hotter, the less of the image is seen through it. The map is resized bilinearly to the
    image, as it is for the prompt points. Raises ImageError if it is no grey PNG.
    """
    grey = decode_png(png)
    if grey.ndim != 2 or grey.dtype != np.uint8:
        raise ImageError(f"expected a grey map, found {grey.dtype} {grey.shape}")
    size = (fit.width, fit.height)
    resized = Image.fromarray(np.asarray(grey, np.uint8)).resize(size, Image.Resampling.BILINEAR)
    return _placed(heat_colours(np.asarray(resized, np.float64) / 255), fit, side)


def heat_colours(values: NDArray[np.float64]) -> Rgba:
    """Values (H, W) in [0, 1] as RGBA (H, W, 4)."""
    anchors = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(values, anchors, _HEAT[:, channel]) for channel in range(3)]
    alpha = 255 * np.interp(values, (0, 1), _HEAT_ALPHA)
    return np.asarray(np.stack([*channels, alpha], axis=-1).round(), np.uint8)


def outline(rle: Rle, fit: Fit) -> str:
    """A mask's outline over its image's thumbnail, the `d` of an SVG path; "" for an empty mask.

    The mask is resized to the thumbnail first; holes are outlines of their own. Raises ImageError
    for damaged run lengths.
    """
    mask = np.pad(_resized(np.asarray(decode_rle(rle) * np.uint8(255), np.uint8), fit), 1)
    paths = []
    for contour in find_contours(mask / 255.0, 0.5):
        # Rows and columns of pixel centres in the padded mask become x and y in the thumbnail.
        corners = simplified(contour[:-1, ::-1]) - 0.5
        inside = np.clip(corners, 0, (fit.width, fit.height)) + np.array([fit.left, fit.top])
        paths.append("M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in inside) + "Z")
    return "".join(paths)


def simplified(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed outline (k, 2) with fewer corners.

    In each of a few rounds every other corner goes that lies close to the line between its
    neighbours. Of a smooth outline a sixteenth is left; it takes a hundredth of the time of
    Douglas and Peucker's method, which leaves hardly less.
    """
    for _ in range(_ROUNDS):
        if len(corners) < 8:
            break
        before, after = np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0)
        chord, arm = after - before, corners - before
        across = np.abs(chord[:, 0] * arm[:, 1] - chord[:, 1] * arm[:, 0])
        close = across <= _TOLERANCE * np.maximum(np.hypot(chord[:, 0], chord[:, 1]), 1e-9)
        close[::2] = False
        corners = corners[~close]
    return corners


def marks(
    points: Iterable[tuple[int, int]], size: tuple[int, int], fit: Fit
) -> tuple[tuple[str, str], ...]:
    """The centres of prompt points (x, y), in pixels of an image of (width, height), over its
    thumbnail.
    """
    across, down = fit.width / size[0], fit.height / size[1]
    return tuple(
        (_short(fit.left + (x + 0.5) * across), _short(fit.top + (y + 0.5) * down))
        for x, y in points
    )


def _resized(pixels: NDArray[np.uint8], fit: Fit) -> NDArray[np.uint8]:
    smooth = Image.Resampling.LANCZOS if pixels.ndim == 3 else Image.Resampling.BILINEAR
    image = Image.fromarray(pixels).resize((fit.width, fit.height), smooth, reducing_gap=3)
    return np.asarray(image, np.uint8)


def _placed(pixels: NDArray[np.uint8], fit: Fit, side: int) -> Rgba:
    """Pixels (fit.height, fit.width, 3 or 4) within a thumbnail."""
    placed = np.zeros((side, side, 4), np.uint8)
    within = placed[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width]
    within[..., 3] = 255
    within[..., : pixels.shape[2]] = pixels
    return placed


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
