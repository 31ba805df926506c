"""Describes a bank in numbers: its categories, the weak ones among them, reasons and disk."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from rim.inspection.report.similarity import CategorySimilarity, Neighbour, Standing
from schemas.records import CategoryRecord
from schemas.store.bank import StoredBank
from schemas.tables import STATUSES

PERSON_GROUP: Final = "rejected by a person"
"""The group of all rejections by a person, whatever their words."""

MIN_ACCEPTED: Final = 3
MIN_SHARE: Final = 0.2
LOW_AGREEMENT: Final = 0.4

RULE: Final = (
    f"A category is listed if none of its images is accepted, or fewer than {MIN_ACCEPTED} or than "
    f"{100 * MIN_SHARE:.0f} % of them; if more than half of its accepted references lie nearer to "
    "the mean of another category than to the mean of the others of their own; or if masks and "
    f"attention agree on average to less than {LOW_AGREEMENT} (IoU)."
)
"""The rule [ours] of `find_weak` in words, as pages show it."""

_FACTS = (
    *("image_id", "category_id", "status", "reason"),
    *("mask_area", "sam_score", "attention_agreement"),
)
# A reason's first words, before the bounds and names that tell one from another of its kind.
_KIND = re.compile(r"[^,:(]*[^,:(\s]")


@dataclass(frozen=True)
class CategorySummary:
    """One category in numbers.

    images, accepted, rejected, failed: counts. agreement, sam_score, mask_area, own: means over the
    accepted images, own of the cosine to the others of the category; None if there is nothing to
    take a mean of. confused: accepted images that are nearer to another category. nearest: the
    category most like it. image_ids: all, ascending; an image's place among them is its cell.
    cover: the accepted image nearest to the others, else the first one; None if there is none.
    """

    category_id: int
    name: str
    synonyms: tuple[str, ...]
    images: int
    accepted: int
    rejected: int
    failed: int
    agreement: float | None
    sam_score: float | None
    mask_area: float | None
    own: float | None
    confused: int
    nearest: Neighbour | None
    image_ids: tuple[int, ...]
    cover: int | None

    @property
    def key(self) -> str:
        """The name of its files; from the id, since a name may hold anything."""
        return f"category-{self.category_id:05d}"

    @property
    def page(self) -> str:
        """The name of its page."""
        return f"{self.key}.html"


@dataclass(frozen=True)
class Weakness:
    """A weak category and why it is one, each reason a sentence."""

    category: CategorySummary
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ReasonGroup:
    """Reasons of one kind. details: each whole reason with the number of images, most first."""

    title: str
    status: str
    images: int
    details: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class DiskPart:
    """One kind of file of this version. bytes: of all its files."""

    name: str
    files: int
    bytes: int


def summarise_categories(
    bank: StoredBank, categories: Sequence[CategoryRecord], similarity: CategorySimilarity
) -> tuple[CategorySummary, ...]:
    """The categories in numbers, in their order; reads facts alone, no pixels."""
    facts = bank.images_table(_FACTS).combine_chunks()
    order = np.argsort(facts["category_id"].to_numpy(), kind="stable")
    ids, starts = np.unique(facts["category_id"].to_numpy()[order], return_index=True)
    rows = dict(zip(ids.tolist(), np.split(order, starts[1:]), strict=True)) if len(ids) else {}
    none = np.empty(0, np.intp)
    return tuple(
        _summary(record, facts.take(rows.get(record.category_id, none)), similarity)
        for record in categories
    )


def find_weak(categories: Iterable[CategorySummary]) -> tuple[Weakness, ...]:
    """The categories that deserve a look before a bank is used, in their order; see RULE."""
    found = ((category, tuple(_doubts(category))) for category in categories)
    return tuple(Weakness(category, reasons) for category, reasons in found if reasons)


def group_reasons(rows: Sequence[tuple[str, str, bool]]) -> tuple[ReasonGroup, ...]:
    """Reasons by kind, the most frequent first.

    Reasons that differ only in what follows a comma, colon or bracket are of one kind; all that a
    person rejected are one.

    rows: (status, reason, whether a person decided it) of every image that is not accepted.
    """
    groups: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for status, reason, by_person in rows:
        kind = _KIND.match(reason)
        title = PERSON_GROUP if by_person else (kind[0].strip() if kind else reason)
        groups[status, title][reason] += 1
    found = [
        ReasonGroup(title, status, sum(counts.values()), tuple(counts.most_common()))
        for (status, title), counts in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: (-group.images, group.status, group.title)))


def bank_reasons(bank: StoredBank, category_ids: frozenset[int]) -> tuple[ReasonGroup, ...]:
    """The reasons of all images of these categories that are not accepted."""
    facts = bank.images_table(["image_id", "category_id", "status", "reason"])
    person = {one.image_id for one in bank.verdicts if one.by == "person"}
    return group_reasons(
        [
            (
                row["status"],
                row["reason"],
                row["status"] == "rejected" and row["image_id"] in person,
            )
            for row in facts.to_pylist()
            if row["status"] != "accepted" and row["category_id"] in category_ids
        ]
    )


def disk_parts(bank: StoredBank) -> tuple[DiskPart, ...]:
    """The disk space of this version by kind of file, verdicts and index included."""
    names = {
        "pixels.parquet": "images and attention maps",
        "images.parquet": "facts about images",
        "features.parquet": "features",
    }
    sizes: defaultdict[str, list[int]] = defaultdict(list)
    for _, record in bank.files():
        if record == bank.manifest.index:
            kind = "index"
        elif record == bank.manifest.prototypes:
            kind = "prototypes"
        else:
            kind = names.get(record.name, "verdicts")
        sizes[kind].append(record.size)
    return tuple(DiskPart(kind, len(own), sum(own)) for kind, own in sorted(sizes.items()))


def _summary(
    record: CategoryRecord, facts: pa.Table, similarity: CategorySimilarity
) -> CategorySummary:
    statuses = facts["status"].to_pylist()
    image_ids = facts["image_id"].to_pylist()
    counts = Counter(statuses)
    accepted = [image for image, one in zip(image_ids, statuses, strict=True) if one == STATUSES[0]]
    mask = np.array([status == STATUSES[0] for status in statuses], bool)
    standings = {
        image: similarity.standings[image] for image in accepted if image in similarity.standings
    }
    nearest = similarity.nearest(record.category_id, 1)
    return CategorySummary(
        category_id=record.category_id,
        name=record.name,
        synonyms=record.synonyms,
        images=facts.num_rows,
        accepted=counts["accepted"],
        rejected=counts["rejected"],
        failed=counts["failed"],
        agreement=_mean(facts["attention_agreement"], mask),
        sam_score=_mean(facts["sam_score"], mask),
        mask_area=_mean(facts["mask_area"], mask),
        own=_mean_of([one.own for one in standings.values() if one.own is not None]),
        confused=sum(one.confused for one in standings.values()),
        nearest=nearest[0] if nearest else None,
        image_ids=tuple(image_ids),
        cover=_cover(image_ids, accepted, standings),
    )


def _doubts(category: CategorySummary) -> Iterable[str]:
    accepted, images = category.accepted, category.images
    if accepted == 0:
        yield "No accepted reference: no photo can be labelled with it."
        return
    if accepted < max(MIN_ACCEPTED, MIN_SHARE * images):
        yield f"Only {accepted} of {images} images accepted."
    if 2 * category.confused > accepted:
        yield f"{category.confused} of {accepted} references are nearer to another category."
    if category.agreement is not None and category.agreement < LOW_AGREEMENT:
        yield f"Mask and attention agree to {category.agreement:.2f} on average."


def _cover(
    image_ids: Sequence[int], accepted: Sequence[int], standings: Mapping[int, Standing]
) -> int | None:
    def typical(image_id: int) -> float:
        standing = standings.get(image_id)
        return -2.0 if standing is None or standing.own is None else standing.own

    return max(accepted, key=typical, default=image_ids[0] if image_ids else None)


def _mean(column: pa.ChunkedArray, mask: np.ndarray) -> float | None:
    values = column.to_pylist()
    return _mean_of(
        [one for one, counts in zip(values, mask, strict=True) if counts and one is not None]
    )


def _mean_of(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
