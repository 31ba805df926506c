"""Writes the page that says which categories look alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foundation.images.reading import encode_png
from rim.inspection.report.content import Content
from rim.inspection.report.drawing import heat_colours
from rim.inspection.report.pages import Pages, packed, script

PAIRS: Final = 200
"""Pairs of categories in the table of those most alike."""

_PAIRS_A_CATEGORY = 3
_MOST_LABELS = 48  # categories with names along the matrix; more would be too small to read
_MOST_LETTERS = 18  # of a name there, as in the template
_LETTER = 7.2  # of a name of wide letters, such as "mushroom"
_GRADIENT_STEPS = 16


@dataclass(frozen=True)
class Scale:
    """The cosines for which the coldest and the hottest colour stand."""

    low: float
    high: float

    @classmethod
    def of(cls, cosine: NDArray[np.float64]) -> Scale:
        """The scale of all pairs of different categories; (0, 1) where there are none."""
        others = cosine[~np.eye(len(cosine), dtype=bool)]
        if others.size == 0:
            return cls(0.0, 1.0)
        low, high = float(others.min()), float(others.max())
        return cls(low, high) if high > low else cls(low - 0.5, low + 0.5)

    def steps(self, cosine: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Cosines as 0..255 along the scale, cut at its ends."""
        share = (cosine - self.low) / (self.high - self.low)
        return np.asarray(np.clip(share * 255, 0, 255).round(), np.uint8)


def write_similarity(content: Content, pages: Pages, folder: Path) -> None:
    """Writes the page, its matrix, and the data of its script, into the report's folder."""
    similarity = content.similarity.only(content.ids)
    order = similarity.order()
    ids = similarity.category_ids[order].tolist()
    cosine = similarity.cosine[np.ix_(order, order)]
    scale = Scale.of(cosine)
    if len(ids) > 1:
        (folder / "pictures" / "similarity.png").write_bytes(_matrix_image(cosine, scale))
        data = {
            "names": [content.links[one].name for one in ids],
            "pages": [content.links[one].page for one in ids],
            "low": scale.low,
            "high": scale.high,
            "steps": packed(scale.steps(cosine), "<u1"),
        }
        (folder / "data" / "similarity.js").write_bytes(script("rimSimilarity", data))
    steps = heat_colours(np.linspace(0, 1, _GRADIENT_STEPS)[None])[0]
    pages.write(
        "similarity.html",
        "similarity.html",
        links=content.links,
        order=ids,
        label=_label_width([content.links[one].name for one in ids]),
        pairs=similarity.pairs(min(PAIRS, _PAIRS_A_CATEGORY * len(ids))),
        scale=scale,
        gradient=["#{:02x}{:02x}{:02x}".format(*colour[:3]) for colour in steps.tolist()],
    )


def _matrix_image(cosine: NDArray[np.float64], scale: Scale) -> bytes:
    """A matrix (C, C) as PNG, a pixel a pair."""
    colours = heat_colours(scale.steps(cosine) / 255.0)
    return encode_png(np.ascontiguousarray(colours[..., :3]))


def _label_width(names: Sequence[str]) -> int:
    """Room for the names along the matrix, 0 where there are too many to be written."""
    if len(names) > _MOST_LABELS:
        return 0
    return round(8 + _LETTER * min(_MOST_LETTERS, max(map(len, names), default=0)))
