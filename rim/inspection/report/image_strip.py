"""The report's two large pictures: the matrix of cosines, and the map where no script runs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from foundation.images.reading import encode_png
from rim.inspection.report.drawing import heat_colours

UNIT: Final = 65_535
"""The longer side of the map in the units of `Placed`."""

_MAP_SIZE = (1200, 800)
_MARGIN = 24
_SMOOTHING = 2  # drawn larger and scaled down, so that dots are round


@dataclass(frozen=True)
class Scale:
    """Which cosines the coldest and the hottest colour stand for."""

    low: float
    high: float

    @classmethod
    def of(cls, cosine: NDArray[np.float64]) -> Scale:
        """Of all pairs of different categories; (0, 1) where there are none."""
        others = cosine[~np.eye(len(cosine), dtype=bool)]
        if others.size == 0:
            return cls(0.0, 1.0)
        low, high = float(others.min()), float(others.max())
        return cls(low, high) if high > low else cls(low - 0.5, low + 0.5)

    def steps(self, cosine: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Cosines as 0..255 along the scale, cut at its ends."""
        share = (cosine - self.low) / (self.high - self.low)
        return np.asarray(np.clip(share * 255, 0, 255).round(), np.uint8)


@dataclass(frozen=True, eq=False)
class Placed:
    """Points (n,) on the map: x to the right, y up, uint16 with one unit for both.

    width, height: of the smallest box around them, the longer UNIT.
    """

    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    width: int
    height: int

    @classmethod
    def of(cls, coordinates: NDArray[np.float64]) -> Placed:
        """Coordinates (n, 2) with their proportions kept."""
        if len(coordinates) == 0:
            none = np.empty(0, np.uint16)
            return cls(none, none, UNIT, UNIT)
        low = coordinates.min(axis=0)
        span = coordinates.max(axis=0) - low
        longest = float(span.max()) or 1.0
        units = np.asarray(((coordinates - low) / longest * UNIT).round(), np.uint16)
        width, height = (max(1, round(float(side) / longest * UNIT)) for side in span)
        return cls(units[:, 0], units[:, 1], width, height)


def matrix_image(cosine: NDArray[np.float64], scale: Scale) -> bytes:
    """A matrix (C, C) as PNG, a pixel a pair."""
    colours = heat_colours(scale.steps(cosine) / 255.0)
    return encode_png(np.ascontiguousarray(colours[..., :3]))


def map_image(placed: Placed, colours: Sequence[str], category: NDArray[np.intp]) -> bytes:
    """The map as PNG with a clear ground. colours: "#rrggbb" of each of the points' categories."""
    width, height = (side * _SMOOTHING for side in _MAP_SIZE)
    margin = _MARGIN * _SMOOTHING
    image = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(image)
    unit = min((width - 2 * margin) / placed.width, (height - 2 * margin) / placed.height)
    left = (width - placed.width * unit) / 2
    bottom = (height + placed.height * unit) / 2
    radius = _SMOOTHING * (4 if len(placed.x) <= 5000 else 2)
    rows = zip(placed.x.tolist(), placed.y.tolist(), category.tolist(), strict=True)
    for x, y, own in rows:
        across, down = left + x * unit, bottom - y * unit
        box = (across - radius, down - radius, across + radius, down + radius)
        draw.ellipse(box, fill=colours[own])
    data = io.BytesIO()
    image.resize(_MAP_SIZE, Image.Resampling.BOX).save(data, "PNG", optimize=True)
    return data.getvalue()
