"""A bank's report, from its parts: the table of contents of this package."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from query.report.cards import Card, make_cards, picture_layout
from query.report.drawing import heat_colours, reduced
from query.report.folder import check_folder, replacing_folder
from query.report.likeness import Likeness, measure_likeness
from query.report.overview import (
    CategorySummary,
    bank_reasons,
    disk_parts,
    group_reasons,
    summarise_categories,
)
from query.report.pages import Link, Pages, Site, colour_of, links_of
from query.report.pictures import Placed, Scale, map_picture, matrix_picture
from query.report.projection import Kind, Projection, check_kind, project
from query.report.script_data import packed, script
from query.report.sheets import COVER, THUMBNAIL, Layout, SheetWriter
from query.report.weak import RULE, Weakness, find_weak
from schemas.bank import Bank
from schemas.ids import FOREGROUND, unpack_image_ids
from schemas.records import CategoryRecord
from schemas.verdicts import Verdict

NEAREST: Final = 6
"""Categories that a category's page names as most like it."""
PAIRS: Final = 200
"""Pairs of categories in the table of those most alike."""

_MOST_LABELS = 48  # categories with names along the matrix; more would be too small to read
_MOST_LETTERS = 18  # of a name there, as in the template
_LETTER = 6.0  # width of one, where a cell of the matrix is 16
_PAIRS_A_CATEGORY = 3
_GRADIENT_STEPS = 16
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Report:
    """What was written. index: the page to open. files, bytes: of the whole folder."""

    index: Path
    version: int
    categories: int
    images: int
    weak: tuple[Weakness, ...]
    files: int
    bytes: int


@dataclass(frozen=True, eq=False)
class _Content:
    """What the pages are about."""

    bank: Bank
    categories: tuple[CategorySummary, ...]
    likeness: Likeness
    weak: tuple[Weakness, ...]
    links: Mapping[int, Link]
    verdicts: Mapping[int, tuple[Verdict, ...]]

    @property
    def ids(self) -> frozenset[int]:
        """Of the categories that are shown."""
        return frozenset(category.category_id for category in self.categories)


def write_report(
    bank: Bank,
    out: Path,
    *,
    category_ids: Collection[int] | None = None,
    projection: str = "pca",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Writes a bank's report as static pages into a folder; an earlier report there is replaced.

    The pages open from the disk, load nothing but their own files, and are the same bytes for the
    same version of a bank. Pictures are read category by category, so memory does not grow with
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
    content = _content(bank, _chosen(bank, category_ids))
    description: dict[str, object] = {
        "format": "rim-report",
        "format_version": _FORMAT_VERSION,
        "bank": bank.path.resolve().name,
        "version": bank.version,
    }
    with replacing_folder(target, description) as folder:
        for name in ("assets", "categories", "data", "pictures"):
            (folder / name).mkdir()
        pages = Pages(folder, Site.of(bank, len(content.categories)))
        pages.write_assets()
        _write_categories(content, pages, folder, progress)
        _write_similarity(content, pages, folder)
        _write_map(content, pages, folder, kind)
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


def _chosen(bank: Bank, category_ids: Collection[int] | None) -> tuple[CategoryRecord, ...]:
    if category_ids is None:
        return bank.categories
    wanted = set(category_ids)
    return tuple(record for record in bank.categories if record.category_id in wanted)


def _content(bank: Bank, chosen: Sequence[CategoryRecord]) -> _Content:
    likeness = measure_likeness(bank)
    categories = summarise_categories(bank, chosen, likeness)
    covers = _cover_layout(len(categories))
    shown = {
        category.category_id: (category, covers.cell(place))
        for place, category in enumerate(categories)
    }
    verdicts: defaultdict[int, list[Verdict]] = defaultdict(list)
    for verdict in bank.verdicts:
        verdicts[verdict.image_id].append(verdict)
    return _Content(
        bank=bank,
        categories=categories,
        likeness=likeness,
        weak=find_weak(categories),
        links=links_of(bank, shown),
        verdicts={image_id: tuple(own) for image_id, own in verdicts.items()},
    )


def _cover_layout(count: int) -> Layout:
    return Layout("covers", count, COVER, columns=20, rows=20)


def _write_categories(
    content: _Content, pages: Pages, folder: Path, progress: Callable[[int, int], None] | None
) -> None:
    pictures = folder / "pictures"
    total = len(content.categories)
    blank = np.zeros((COVER, COVER, 4), np.uint8)
    doubts = {one.category.category_id: one.reasons for one in content.weak}
    with SheetWriter(pictures, _cover_layout(total)) as covers:
        for place, category in enumerate(content.categories):
            made = make_cards(content.bank, category, content.verdicts, content.likeness, pictures)
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
                nearest=content.likeness.nearest(category.category_id, NEAREST),
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


def _write_similarity(content: _Content, pages: Pages, folder: Path) -> None:
    likeness = content.likeness.only(content.ids)
    order = likeness.order()
    ids = likeness.category_ids[order].tolist()
    cosine = likeness.cosine[np.ix_(order, order)]
    scale = Scale.of(cosine)
    if len(ids) > 1:
        (folder / "pictures" / "similarity.png").write_bytes(matrix_picture(cosine, scale))
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
        pairs=likeness.pairs(min(PAIRS, _PAIRS_A_CATEGORY * len(ids))),
        scale=scale,
        gradient=["#{:02x}{:02x}{:02x}".format(*colour[:3]) for colour in steps.tolist()],
    )


def _label_width(names: Sequence[str]) -> int:
    """Room for the names along the matrix, 0 where there are too many to be written."""
    if len(names) > _MOST_LABELS:
        return 0
    return round(8 + _LETTER * min(_MOST_LETTERS, max(map(len, names), default=0)))


def _write_map(content: _Content, pages: Pages, folder: Path, kind: Kind) -> None:
    features = content.bank.features()
    rows = np.flatnonzero(
        (features.role == FOREGROUND) & np.isin(features.category_id, list(content.ids))
    )
    whole = len(rows) == np.count_nonzero(features.role == FOREGROUND)
    # Foregrounds come first: where all are shown they need not be copied out of the index.
    embeddings = features.embeddings[: len(rows)] if whole else features.embeddings[rows]
    found: Projection = project(embeddings, kind)
    if len(rows):
        _write_map_files(content, folder, found, features.image_id[rows])
    pages.write(
        "map.html",
        "map.html",
        categories=content.categories,
        links=content.links,
        points=len(rows),
        explained=found.explained,
    )


def _write_map_files(
    content: _Content, folder: Path, found: Projection, image_id: np.ndarray
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
    layout = picture_layout(content.categories[0])
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
                "page": one.page,
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
    picture = map_picture(placed, colours, category)
    (folder / "pictures" / "map.png").write_bytes(picture)


def _write_index(content: _Content, pages: Pages) -> None:
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
