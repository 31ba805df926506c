"""What the pages of one report are about, gathered once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rim.inspection.report.overview import CategorySummary, summarise_categories
from rim.inspection.report.pages import Link, links_of
from rim.inspection.report.sheets import COVER, Layout
from rim.inspection.report.similarity import CategorySimilarity, measure_similarity
from rim.inspection.report.weak import Weakness, find_weak
from schemas.records import CategoryRecord
from schemas.store.bank import StoredBank
from schemas.store.verdicts import Verdict


@dataclass(frozen=True, eq=False)
class Content:
    """A bank, and what its report shows of it.

    categories: those that are shown, by ascending category_id. likeness: among all. links: all
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
        """Of the categories that are shown."""
        return frozenset(category.category_id for category in self.categories)


def gather(bank: StoredBank, chosen: Sequence[CategoryRecord]) -> Content:
    """What the pages about these categories say; reads facts and features, no pictures.

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
        links=links_of(bank, shown),
        verdicts={image_id: tuple(own) for image_id, own in verdicts.items()},
    )


def cover_layout(count: int) -> Layout:
    """Where the categories' covers lie, in the order of `Content.categories`."""
    return Layout("covers", count, COVER, columns=20, rows=20)
