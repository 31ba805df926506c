"""Writes a bank's report: the table of contents of this package."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from rim.inspection.report.cards import Card, make_cards
from rim.inspection.report.content import Content, cover_layout, gather
from rim.inspection.report.drawing import reduced
from rim.inspection.report.folder import check_folder, replacing_folder
from rim.inspection.report.map_page import write_map
from rim.inspection.report.overview import (
    RULE,
    Weakness,
    bank_reasons,
    disk_parts,
    group_reasons,
)
from rim.inspection.report.pages import Pages, Site
from rim.inspection.report.projection import check_kind
from rim.inspection.report.sheets import COVER, SheetWriter
from rim.inspection.report.similarity_page import write_similarity
from schemas.records import CategoryRecord
from schemas.store.bank import StoredBank
from schemas.text import printable

NEAREST: Final = 6
"""Categories that a category's page names as most like it."""
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Report:
    """A written report; wherever a path is expected it stands for its first page.

    index: the page to open. files, bytes: of the whole folder.
    """

    index: Path
    version: int
    categories: int
    images: int
    weak: tuple[Weakness, ...]
    files: int
    bytes: int

    def __fspath__(self) -> str:
        return str(self.index)


def write_report(
    bank: StoredBank,
    out: Path,
    *,
    category_ids: Collection[int] | None = None,
    projection: str = "pca",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Writes a bank's report as static pages into a folder; an earlier report there is replaced.

    The pages open from the disk, load nothing but their own files, and are the same bytes for the
    same version of a bank. Images are read category by category, so memory does not grow with
    their number; beside them it is some numbers an image and C x C cosines.

    Args:
        bank: any version.
        out: the folder, made if it is missing. It appears when all is written.
        category_ids: of the categories to show; None for all. How they compare with others is
            always said among all categories of the bank.
        projection: "pca" or "umap", how the map is laid out.
        progress: called after each category with the number done and of all.

    Raises OutputError if `out` holds something else, UsageError for a map that cannot be made here,
    BankDamaged if a file of the bank is not what was written, WriteFailed if the disk does not take
    the report. Nothing is left in `out` then, and an earlier report stays.
    """
    kind = check_kind(projection)
    target = check_folder(out, bank.path)
    content = gather(bank, _chosen(bank, category_ids))
    description: dict[str, object] = {
        "format": "rim-report",
        "format_version": _FORMAT_VERSION,
        "bank": printable(bank.path.resolve().name),
        "version": bank.version,
    }
    with replacing_folder(target, description) as folder:
        for name in ("assets", "categories", "data", "pictures"):
            (folder / name).mkdir()
        pages = Pages(folder, Site.of(bank, len(content.categories)))
        pages.write_assets()
        _write_categories(content, pages, folder, progress)
        write_similarity(content, pages, folder)
        write_map(content, pages, folder, kind)
        _write_index(content, pages)
    written = [path.stat().st_size for path in target.rglob("*") if path.is_file()]
    return Report(
        index=target / "index.html",
        version=bank.version,
        categories=len(content.categories),
        images=sum(category.images for category in content.categories),
        weak=content.weak,
        files=len(written),
        bytes=sum(written),
    )


def _chosen(bank: StoredBank, category_ids: Collection[int] | None) -> tuple[CategoryRecord, ...]:
    if category_ids is None:
        return bank.categories
    wanted = set(category_ids)
    return tuple(record for record in bank.categories if record.category_id in wanted)


def _write_categories(
    content: Content, pages: Pages, folder: Path, progress: Callable[[int, int], None] | None
) -> None:
    sheets = folder / "pictures"
    total = len(content.categories)
    blank = np.zeros((COVER, COVER, 4), np.uint8)
    doubts = {one.category.category_id: one.reasons for one in content.weak}
    with SheetWriter(sheets, cover_layout(total)) as covers:
        for place, category in enumerate(content.categories):
            made = make_cards(content.bank, category, content.verdicts, content.similarity, sheets)
            covers.put(place, blank if made.cover is None else reduced(made.cover, COVER))
            by_status = {
                status: [card for card in made.cards if card.status == status]
                for status in ("accepted", "rejected", "failed")
            }
            pages.write(
                "category.html",
                f"categories/{category.page}",
                category=category,
                links=content.links,
                doubts=doubts.get(category.category_id, ()),
                nearest=content.similarity.nearest(category.category_id, NEAREST),
                before=content.categories[place - 1] if place else None,
                after=content.categories[place + 1] if place + 1 < total else None,
                rejected_reasons=_reasons(by_status["rejected"]),
                failed_reasons=_reasons(by_status["failed"]),
                **by_status,
            )
            if progress is not None:
                progress(place + 1, total)


def _reasons(cards: Sequence[Card]) -> tuple[Any, ...]:
    return group_reasons([(card.status, card.reason or "", card.by_person) for card in cards])


def _write_index(content: Content, pages: Pages) -> None:
    manifest = content.bank.manifest
    disk = disk_parts(content.bank)
    seconds = sorted(manifest.seconds.items(), key=lambda item: -item[1])
    by_person = {
        image_id
        for image_id, own in content.verdicts.items()
        if any(one.by == "person" for one in own)
    }
    shown = {image_id for category in content.categories for image_id in category.image_ids}
    pages.write(
        "index.html",
        "index.html",
        preset=str(manifest.settings.get("preset", "")),
        totals={
            "images": sum(one.images for one in content.categories),
            "accepted": sum(one.accepted for one in content.categories),
            "rejected": sum(one.rejected for one in content.categories),
            "failed": sum(one.failed for one in content.categories),
            "by_person": len(by_person & shown),
        },
        categories=content.categories,
        links=content.links,
        weak=content.weak,
        weak_ids={one.category.category_id for one in content.weak},
        rule=RULE,
        reasons=bank_reasons(content.bank, content.ids),
        models=sorted(manifest.models.items()),
        seconds=seconds,
        seconds_most=max(manifest.seconds.values(), default=0),
        disk=disk,
        disk_bytes=sum(part.bytes for part in disk),
        settings=manifest.settings,
        libraries=sorted(manifest.libraries.items()),
    )
