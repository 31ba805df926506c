"""What a build tells while it runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is.

    stage: in this order, "weights" while the models' files are found and checked, "loading" as each
    model is loaded, "trial" where the device's memory is tried, "first batch" when the first images
    of this build are begun, "references" as images are made, "index" once they are all there.
    done, total: images of the whole bank, those of earlier builds included; the first event says
    how many these are. category: of the first or latest images, else None. accepted, rejected,
    failed: how the done images fell out. seconds: since the build began. role: of the model that is
    loaded, else None.
    """

    stage: str
    done: int
    total: int
    category: str | None
    accepted: int
    rejected: int
    failed: int
    seconds: float
    role: str | None = None


WAITING = frozenset(("weights", "loading", "trial", "first batch"))
"""The stages of a build in which it has not made an image yet."""

Progress = Callable[[BuildProgress], None]


class Tally:
    """Counts images by status and tells `progress`."""

    def __init__(self, progress: Progress | None) -> None:
        self._total = 0
        self._progress = progress
        self._counts: Counter[str] = Counter()
        self._start = time.monotonic()

    def begin(self, total: int, statuses: Iterable[str]) -> None:
        """Counts from the beginning: of so many images those with the statuses are done."""
        self._total = total
        self._counts = Counter(statuses)

    def add(self, statuses: Iterable[str]) -> None:
        """Counts images."""
        self._counts.update(statuses)

    def take_back(self, statuses: Iterable[str]) -> None:
        """Forgets images that were counted and are made anew."""
        self._counts.subtract(statuses)

    @property
    def all_failed(self) -> bool:
        """Whether not one image could be made."""
        return self._counts["failed"] == self._counts.total()

    def tell(self, stage: str, category: str | None = None, role: str | None = None) -> None:
        """Sends the counts as they are."""
        if self._progress is not None:
            event = BuildProgress(
                stage=stage,
                done=self._counts.total(),
                total=self._total,
                category=category,
                accepted=self._counts["accepted"],
                rejected=self._counts["rejected"],
                failed=self._counts["failed"],
                seconds=time.monotonic() - self._start,
                role=role,
            )
            self._progress(event)
