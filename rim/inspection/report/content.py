"""Gathers what the pages of one report show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from query.overlay import category_colour
from rim.inspection.report.overview import (
    CategorySummary,
    Weakness,
    find_weak,
    summarise_categories,
)
from rim.inspection.report.sheets import COVER, Cell, Layout
from rim.inspection.report.similarity import CategorySimilarity, measure_similarity
from schemas.records import CategoryRecord
from schemas.store.bank import StoredBank
from schemas.store.verdicts import Verdict


@dataclass(frozen=True)
class Link:
    """A category as other pages show it. page, cover: None if the report leaves it out."""

    name: str
    colour: str
    page: str | None
    cover: Cell | None


@dataclass(frozen=True, eq=False)
class Content:
    """A bank, and what its report shows of it.

    categories: those that are shown, by ascending category_id. similarity: among all. links: all
    categories by category_id. verdicts: all, by image_id.
    """

    bank: StoredBank
    categories: tuple[CategorySummary, ...]
    similarity: CategorySimilarity
    weak: tuple[Weakness, ...]
    links: Mapping[int, Link]
    verdicts: Mapping[int, tuple[Verdict, ...]]

    @property
    def ids(self) -> frozenset[int]:
        """The ids of the categories that are shown."""
        return frozenset(category.category_id for category in self.categories)


def gather(bank: StoredBank, chosen: Sequence[CategoryRecord]) -> Content:
    """The content of a report about these categories; reads facts and features, no images.

    Raises BankDamaged if a file is not what was written.
    """
    similarity = measure_similarity(bank)
    categories = summarise_categories(bank, chosen, similarity)
    covers = cover_layout(len(categories))
    shown = {
        category.category_id: (category, covers.cell(place))
        for place, category in enumerate(categories)
    }
    verdicts: defaultdict[int, list[Verdict]] = defaultdict(list)
    for verdict in bank.verdicts:
        verdicts[verdict.image_id].append(verdict)
    return Content(
        bank=bank,
        categories=categories,
        similarity=similarity,
        weak=find_weak(categories),
        links=_links(bank, shown),
        verdicts={image_id: tuple(own) for image_id, own in verdicts.items()},
    )


def cover_layout(count: int) -> Layout:
    """Where the categories' covers lie, in the order of `Content.categories`."""
    return Layout("covers", count, COVER, columns=20, rows=20)


def colour_of(category_id: int) -> str:
    """A category's colour as "#rrggbb", the one that it has in overlays of photos."""
    return "#{:02x}{:02x}{:02x}".format(*category_colour(category_id))


def _links(bank: StoredBank, shown: Mapping[int, tuple[CategorySummary, Cell]]) -> dict[int, Link]:
    """All categories of the bank by category_id; those that are shown have a page and a cover."""
    links = {}
    for record in bank.categories:
        summary, cover = shown.get(record.category_id, (None, None))
        page = None if summary is None else summary.page
        links[record.category_id] = Link(record.name, colour_of(record.category_id), page, cover)
    return links
