"""What the page shows, as plain data: bank, photo, choice, and the clicked region."""

from __future__ import annotations

from dataclasses import dataclass

from rim.app.references import ReferenceCard
from rim.app.view import PhotoView
from schemas.settings import Matching


@dataclass(frozen=True)
class Choice:
    """How regions are named.

    Attributes:
        matcher: "prototype", "knn" or "ranking".
        background: a cosine, "auto" or "off".
        filter: whether categories with less than 1 % of the photo are dropped.
        categories: names that take part; none of them means all.
    """

    matcher: str = "knn"
    background: float | str = "auto"
    filter: bool = False
    categories: tuple[str, ...] = ()

    @classmethod
    def of(cls, matching: Matching) -> Choice:
        """The choice that a bank's own settings make."""
        background = "off" if matching.background is None else matching.background
        return cls(matching.matcher, background, matching.filter is not None)


@dataclass(frozen=True)
class Selection:
    """The region that was clicked, and what decided it.

    Attributes:
        region: its number in the photo's result.
        score: in [0, 1]. similarity: cosine, in [-1, 1]. area: share of the photo's pixels.
        references: most similar first.
        was: category and score before the last action, if that changed them.
    """

    region: int
    category: str
    category_id: int
    score: float
    similarity: float
    area: float
    references: tuple[ReferenceCard, ...]
    was: tuple[str, float] | None


@dataclass(frozen=True)
class BankFacts:
    """The bank as it is now. references: images that can be voted with, those on trial included."""

    path: str
    version: int
    preset: str
    categories: tuple[str, ...]
    references: int
    images_per_category: int


@dataclass(frozen=True, eq=False)
class State:
    """Everything that the page shows.

    Attributes:
        serial: another one whenever the photo is labelled anew.
        photo: its name; None before the first.
        changed: share of the photo's pixels whose label is another than before the last action;
            None where there is nothing to compare.
        rejected: what was rejected in this session, the latest first.
        trials: names of the categories on trial.
    """

    serial: int
    bank: BankFacts
    choice: Choice
    photo: str | None
    view: PhotoView | None
    selection: Selection | None
    changed: float | None
    rejected: tuple[ReferenceCard, ...]
    trials: tuple[str, ...]
