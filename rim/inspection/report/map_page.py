"""Writes the page with the map of the references' features."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rim.inspection.report.cards import image_layout
from rim.inspection.report.content import Content, colour_of
from rim.inspection.report.pages import Pages, packed, script
from rim.inspection.report.projection import Kind, Projection, project
from rim.inspection.report.sheets import THUMBNAIL
from schemas.ids import FOREGROUND, unpack_image_ids

UNIT: Final = 65_535
"""The longer side of the map in the units of `Placed`."""

_MAP_SIZE = (1200, 800)
_MARGIN = 24
_SMOOTHING = 2  # drawn larger and scaled down, so that dots are round


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
        """Coordinates (n, 2) in their proportions."""
        if len(coordinates) == 0:
            none = np.empty(0, np.uint16)
            return cls(none, none, UNIT, UNIT)
        low = coordinates.min(axis=0)
        span = coordinates.max(axis=0) - low
        longest = float(span.max()) or 1.0
        units = np.asarray(((coordinates - low) / longest * UNIT).round(), np.uint16)
        width, height = (max(1, round(float(side) / longest * UNIT)) for side in span)
        return cls(units[:, 0], units[:, 1], width, height)


def write_map(content: Content, pages: Pages, folder: Path, kind: Kind) -> None:
    """Writes the page, its image, and the data of its script, into the report's folder."""
    features = content.bank.features()
    rows = np.flatnonzero(
        (features.role == FOREGROUND) & np.isin(features.category_id, list(content.ids))
    )
    whole = len(rows) == np.count_nonzero(features.role == FOREGROUND)
    # Foregrounds come first: where all are shown they need not be copied out of the index.
    embeddings = features.embeddings[: len(rows)] if whole else features.embeddings[rows]
    found: Projection = project(embeddings, kind)
    if len(rows):
        _write_files(content, folder, found, features.image_id[rows])
    pages.write(
        "map.html",
        "map.html",
        categories=content.categories,
        links=content.links,
        points=len(rows),
        explained=found.explained,
    )


def _write_files(
    content: Content, folder: Path, found: Projection, image_id: NDArray[np.int64]
) -> None:
    keys = unpack_image_ids(image_id)
    ids = np.array([category.category_id for category in content.categories], np.int64)
    category = np.searchsorted(ids, keys.category_id)
    position = np.empty(len(image_id), np.int64)
    for place, summary in enumerate(content.categories):
        own = np.flatnonzero(category == place)
        position[own] = np.searchsorted(np.array(summary.image_ids, np.int64), image_id[own])
    placed = Placed.of(found.coordinates)
    colours = [colour_of(one) for one in ids.tolist()]
    layout = image_layout(content.categories[0])
    data = {
        "side": THUMBNAIL,
        "columns": layout.columns,
        "rows": layout.rows,
        "width": placed.width,
        "height": placed.height,
        "categories": [
            {
                "id": one.category_id,
                "name": one.name,
                "colour": colour,
                "images": one.images,
                "key": one.key,
            }
            for one, colour in zip(content.categories, colours, strict=True)
        ],
        "x": packed(placed.x, "<u2"),
        "y": packed(placed.y, "<u2"),
        "category": packed(category, "<u4"),
        "position": packed(position, "<u4"),
        "low": packed(image_id & 0xFFFFFF, "<u4"),
    }
    (folder / "data" / "map.js").write_bytes(script("rimMap", data))
    (folder / "pictures" / "map.png").write_bytes(map_image(placed, colours, category))


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
