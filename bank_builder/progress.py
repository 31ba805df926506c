"""What a build tells while it runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is.

    stage: "references" while images are made, "index" once they are all there. done, total: images
    of the whole bank, those of earlier builds included; the first event says how many these are.
    category: of the latest images, None in the beginning and the end. accepted, rejected, failed:
    how the done images fell out. seconds: since the build began.
    """

    stage: str
    done: int
    total: int
    category: str | None
    accepted: int
    rejected: int
    failed: int
    seconds: float


Progress = Callable[[BuildProgress], None]


class Tally:
    """Counts images by status and tells `progress`."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._counts: Counter[str] = Counter()
        self._start = time.monotonic()

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

    def tell(self, stage: str, category: str | None = None) -> None:
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
            )
            self._progress(event)
