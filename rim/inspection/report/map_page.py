"""The page with the map of the references' features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim.inspection.report.cards import image_layout
from rim.inspection.report.content import Content
from rim.inspection.report.image_strip import Placed, map_image
from rim.inspection.report.pages import Pages, colour_of
from rim.inspection.report.projection import Kind, Projection, project
from rim.inspection.report.script_data import packed, script
from rim.inspection.report.sheets import THUMBNAIL
from schemas.ids import FOREGROUND, unpack_image_ids


def write_map(content: Content, pages: Pages, folder: Path, kind: Kind) -> None:
    """Writes the page, its picture, and the data of its script, into the report's folder."""
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
    picture = map_image(placed, colours, category)
    (folder / "pictures" / "map.png").write_bytes(picture)
