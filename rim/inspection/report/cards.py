"""Makes the cards of one category: each reference with its thumbnail, scores and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rim.inspection.report.drawing import Fit, Rgba, heat, marks, outline, thumbnail
from rim.inspection.report.overview import CategorySummary
from rim.inspection.report.sheets import HEAT, THUMBNAIL, Cell, Layout, SheetWriter
from rim.inspection.report.similarity import CategorySimilarity, Standing
from schemas.errors import ImageError
from schemas.rle import Rle
from schemas.store.bank import StoredBank
from schemas.store.verdicts import Verdict

_AT_ONCE: Final = 25
"""Images that are read together: at full size some 10 MB as PNG."""
_HEAT_QUALITY = 70

_NO_STANDING: Final = Standing(None, None, None)


@dataclass(frozen=True)
class Card:
    """One reference as its page shows it.

    image, attention: cells of sprite sheets, None if there is none. outline: the mask, the `d` of
    an SVG path over the thumbnail. points: (x, y) over it. by_person: whether a person decided;
    overruled: what the automatic verdict says then, if it differs. note: why there is no thumbnail
    though there should be one. The rest are columns of the view `images`.
    """

    image_id: int
    number: int
    source: str
    status: str
    reason: str | None
    by_person: bool
    overruled: str | None
    prompt: str | None
    seed: int | None
    file: str | None
    width: int | None
    height: int | None
    mask_area: float | None
    sam_score: float | None
    agreement: float | None
    contrast: float | None
    standing: Standing
    image: Cell | None
    attention: Cell | None
    outline: str
    points: tuple[tuple[str, str], ...]
    note: str | None


@dataclass(frozen=True, eq=False)
class Drawn:
    """The drawn parts of one image: thumbnail, attention over it, mask and points; see `Card`."""

    image: Rgba | None = None
    attention: Rgba | None = None
    outline: str = ""
    points: tuple[tuple[str, str], ...] = ()
    note: str | None = None


@dataclass(frozen=True, eq=False)
class CategoryCards:
    """A category's cards by ascending image_id, and the thumbnail of its cover (None if none)."""

    cards: tuple[Card, ...]
    cover: Rgba | None


def image_layout(category: CategorySummary) -> Layout:
    """Where the thumbnails of a category's images lie, in the order of `image_ids`."""
    return Layout(category.key, category.images)


def make_cards(
    bank: StoredBank,
    category: CategorySummary,
    verdicts: Mapping[int, tuple[Verdict, ...]],
    similarity: CategorySimilarity,
    folder: Path,
) -> CategoryCards:
    """Draws a category's sprite sheets into a folder, and makes its cards.

    In memory at a time are one sheet of each kind, a few images, and the category's facts.

    verdicts: all of the bank's, by image_id. Raises BankDamaged if a file is not what was written;
    an image that cannot be decoded gives a card without one, which says why.
    """
    layout = image_layout(category)
    heat_layout = Layout(f"{layout.name}-attention", layout.count, HEAT)
    cards: list[Card] = []
    cover: Rgba | None = None
    with (
        SheetWriter(folder, layout) as sheet,
        SheetWriter(folder, heat_layout, _HEAT_QUALITY) as heat_sheet,
    ):
        for position, (row, drawn) in enumerate(_drawn_rows(bank, category)):
            image_id = row["image_id"]
            if drawn.image is not None:
                sheet.put(position, drawn.image)
                if image_id == category.cover or cover is None:
                    cover = drawn.image
            if drawn.attention is not None:
                heat_sheet.put(position, drawn.attention)
            cards.append(
                _card(
                    row,
                    drawn,
                    verdicts.get(image_id, ()),
                    similarity.standings.get(image_id, _NO_STANDING),
                    None if drawn.image is None else layout.cell(position),
                    None if drawn.attention is None else heat_layout.cell(position),
                )
            )
    return CategoryCards(tuple(cards), cover)


def _drawn_rows(
    bank: StoredBank, category: CategorySummary
) -> Iterator[tuple[dict[str, Any], Drawn]]:
    """The category's images by ascending image_id, each with its drawn parts."""
    table = bank.images_table(category_id=category.category_id)
    for start in range(0, table.num_rows, _AT_ONCE):
        rows = table.slice(start, _AT_ONCE).to_pylist()
        ids = [row["image_id"] for row in rows]
        pngs, maps = bank.png(ids), bank.attention_png(ids)
        for row in rows:
            yield row, draw(row, pngs.get(row["image_id"]), maps.get(row["image_id"]))


def draw(row: Mapping[str, Any], png: bytes | None, attention: bytes | None) -> Drawn:
    """Draws an image with these facts (the columns of `schemas.tables.IMAGES`)."""
    if png is None:
        return Drawn()
    try:
        image, fit = thumbnail(png, THUMBNAIL)
    except ImageError as error:
        return Drawn(note=f"Its image cannot be shown: {error}")
    try:
        return Drawn(
            image=image,
            attention=None if attention is None else heat(attention, fit.at(HEAT), HEAT),
            outline=_outline(row, fit),
            points=_points(row, fit),
        )
    except ImageError as error:
        return Drawn(image, note=f"Its mask or attention cannot be shown: {error}")


def _outline(row: Mapping[str, Any], fit: Fit) -> str:
    mask = row["mask"]
    if mask is None:
        return ""
    size, counts = mask["size"], mask["counts"]
    if counts is None or size is None or len(size) != 2 or None in size:
        raise ImageError("expected a mask's size and run lengths, found none")
    return outline(Rle((size[0], size[1]), counts), fit)


def _points(row: Mapping[str, Any], fit: Fit) -> tuple[tuple[str, str], ...]:
    size = (row["width"], row["height"])
    if row["points"] is None or not all(size):
        return ()
    points = ((point["x"], point["y"]) for point in row["points"] if point is not None)
    return marks([(x, y) for x, y in points if x is not None and y is not None], size, fit)


def _card(
    row: Mapping[str, Any],
    drawn: Drawn,
    verdicts: tuple[Verdict, ...],
    standing: Standing,
    image: Cell | None,
    attention: Cell | None,
) -> Card:
    # A failed image has no verdict that counts, whatever a person said before it failed.
    by_person = row["status"] != "failed" and any(one.by == "person" for one in verdicts)
    automatic = next((one for one in verdicts if one.by == "automatic"), None)
    differs = by_person and automatic is not None and automatic.status != row["status"]
    return Card(
        image_id=row["image_id"],
        number=row["number"],
        source=row["source"],
        status=row["status"],
        reason=row["reason"],
        by_person=by_person,
        overruled=automatic.reason if differs and automatic is not None else None,
        prompt=row["prompt"],
        seed=row["seed"],
        file=row["file"],
        width=row["width"],
        height=row["height"],
        mask_area=row["mask_area"],
        sam_score=row["sam_score"],
        agreement=row["attention_agreement"],
        contrast=row["contrast"],
        standing=standing,
        image=image,
        attention=attention,
        outline=drawn.outline,
        points=drawn.points,
        note=drawn.note,
    )
