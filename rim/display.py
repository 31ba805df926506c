"""How a bank shows itself in a notebook: a small table with a few pictures of each category."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from foundation.images.reading import decode_png
from rim.html import Safe, embedded_image, html_table
from schemas.errors import RimError
from schemas.text import printable

if TYPE_CHECKING:
    from rim.bank import Bank

MAX_CATEGORIES = 12
PICTURES = 4
"""Of each category that is shown."""
_SIDE = 64  # pixels


def bank_html(bank: Bank) -> str:
    """The bank in HTML: how many images, accepted ones and features, and the first MAX_CATEGORIES
    categories with PICTURES accepted images each, 64 pixels wide at most and within the page.

    Names and reasons are escaped. A picture that cannot be read is left out.
    """
    facts = bank.info()
    shown = facts["categories"][:MAX_CATEGORIES]
    rows = []
    for one in shown:
        synonyms = ", ".join(one["synonyms"])
        pictures = _pictures(bank, one["category_id"])
        rows.append((one["name"], synonyms, one["images"], one["accepted"], pictures))
    rest = len(facts["categories"]) - len(shown)
    failed = f", {facts['failed']} failed" if facts["failed"] else ""
    note = (
        f"{printable(bank.path)}, version {bank.version}, preset {printable(facts['preset'])}: "
        f"{facts['images']} images, {facts['accepted']} accepted, {facts['rejected']} rejected"
        f"{failed}, {facts['features']} features"
    )
    note += f"; {rest} more categories" if rest else ""
    return html_table(["category", "synonyms", "images", "accepted", ""], rows, note)


def _pictures(bank: Bank, category_id: int) -> Safe:
    """The first accepted images of a category, small."""
    try:
        table = bank.images_table(["image_id", "status"], category_id)
        ids = [row["image_id"] for row in table.to_pylist() if row["status"] == "accepted"]
        found = bank.png(ids[:PICTURES])
        return Safe("".join(embedded_image(_small(found[one]), str(one)) for one in found))
    except RimError:
        return Safe("")


def _small(png: bytes) -> bytes:
    """A picture of the bank, whose size is checked before it is decoded, as a small one."""
    image = Image.fromarray(np.asarray(decode_png(png)))
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
