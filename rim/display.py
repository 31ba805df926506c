"""A bank in HTML, for a notebook: a small table with a few images of each category."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from foundation.images.reading import decode_png
from rim.html import Safe, embedded_image, html_table
from schemas.errors import RimError
from schemas.text import printable

MAX_CATEGORIES = 12
IMAGES = 4
"""Of each category that is shown."""
_SIDE = 64  # pixels


def bank_html(
    facts: Mapping[str, Any], first_images: Callable[[int, int], Mapping[int, bytes]]
) -> str:
    """Returns the bank in HTML: how many images, accepted ones and features, and the first
    MAX_CATEGORIES categories with IMAGES accepted images each, 64 pixels wide at most and within
    the page.

    Names and reasons are escaped. An image that cannot be read is left out.

    Args:
        facts: as `rim info --json` prints them.
        first_images: the PNG files, by image_id, of the first accepted images of a category_id, so
            many at most; may raise RimError.
    """
    shown = facts["categories"][:MAX_CATEGORIES]
    rows = []
    for one in shown:
        synonyms = ", ".join(one["synonyms"])
        images = _images(first_images, one["category_id"])
        rows.append((one["name"], synonyms, one["images"], one["accepted"], images))
    rest = len(facts["categories"]) - len(shown)
    failed = f", {facts['failed']} failed" if facts["failed"] else ""
    note = (
        f"{printable(facts['path'])}, version {facts['version']}, "
        f"preset {printable(facts['preset'])}: "
        f"{facts['images']} images, {facts['accepted']} accepted, {facts['rejected']} rejected"
        f"{failed}, {facts['features']} features"
    )
    note += f"; {rest} more categories" if rest else ""
    return html_table(["category", "synonyms", "images", "accepted", ""], rows, note)


def _images(first_images: Callable[[int, int], Mapping[int, bytes]], category_id: int) -> Safe:
    """The first accepted images of a category, small."""
    try:
        found = first_images(category_id, IMAGES)
        return Safe("".join(embedded_image(_small(png), str(one)) for one, png in found.items()))
    except RimError:
        return Safe("")


def _small(png: bytes) -> bytes:
    """An image of the bank, whose size is checked before it is decoded, as a small one."""
    image = Image.fromarray(np.asarray(decode_png(png)))
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
