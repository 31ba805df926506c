"""Which categories deserve a look before a bank is used, and why [ours]."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rim.inspection.report.overview import CategorySummary

MIN_ACCEPTED: Final = 3
MIN_SHARE: Final = 0.2
LOW_AGREEMENT: Final = 0.4

RULE: Final = (
    f"A category is listed if none of its images is accepted, or fewer than {MIN_ACCEPTED} or than "
    f"{100 * MIN_SHARE:.0f} % of them; if more than half of its accepted references lie nearer to "
    "the mean of another category than to the mean of the others of their own; or if masks and "
    f"attention agree on average to less than {LOW_AGREEMENT} (IoU)."
)
"""The rule in words, as pages show it."""


@dataclass(frozen=True)
class Weakness:
    """A category and what is doubtful about it, each a sentence."""

    category: CategorySummary
    reasons: tuple[str, ...]


def find_weak(categories: Iterable[CategorySummary]) -> tuple[Weakness, ...]:
    """The weak ones in their order; see RULE."""
    found = ((category, tuple(_doubts(category))) for category in categories)
    return tuple(Weakness(category, reasons) for category, reasons in found if reasons)


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
