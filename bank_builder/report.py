"""What a build reports: events while it runs, seconds by stage, and what the bank then holds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow.compute as pc

from schemas.ids import FOREGROUND, unpack_feature_ids, unpack_image_ids
from schemas.store.bank import StoredBank


@dataclass(frozen=True)
class BuildProgress:
    """The progress of a build.

    stage: in this order, "weights" while the models' files are found and checked, "loading" as each
    model is loaded, "trial" where the device's memory is tried, "first batch" when the first images
    of this build are begun, "references" as images are made, "index" once they are all there.
    done, total: images of the whole bank, those of earlier builds included; the first event says
    how many these are. category: of the first or latest images, else None. accepted, rejected,
    failed: number of done images by status. seconds: since the build began. role: of the model that
    is loaded, else None.
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


class ImageCounter:
    """Counts images by status, and reports the counts as progress."""

    def __init__(self, progress: Progress | None) -> None:
        self._total = 0
        self._progress = progress
        self._counts: Counter[str] = Counter()
        self._start = time.monotonic()

    def begin(self, total: int, statuses: Iterable[str]) -> None:
        """Starts again: of `total` images, those with the statuses are done."""
        self._total = total
        self._counts = Counter(statuses)

    def add(self, statuses: Iterable[str]) -> None:
        """Counts further images."""
        self._counts.update(statuses)

    def take_back(self, statuses: Iterable[str]) -> None:
        """Subtracts images that were counted and are made again."""
        self._counts.subtract(statuses)

    @property
    def all_failed(self) -> bool:
        """Whether not one image could be made."""
        return self._counts["failed"] == self._counts.total()

    def tell(self, stage: str, category: str | None = None, role: str | None = None) -> None:
        """Calls `progress` with the counts."""
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


@dataclass(frozen=True)
class BuildReport:
    """What a bank holds after a build, with all verdicts.

    images, accepted, rejected, failed: number of images, in all and by status.
    features: number of features of accepted images, foreground and background. failed_images:
    image_ids, ascending. categories_without_feature: names of categories that no photo can be
    labelled with. version: of the manifest. changed: whether this build made that version.
    reused_shards: how many of its shards were there before this build.
    """

    images: int
    accepted: int
    rejected: int
    failed: int
    features: int
    failed_images: tuple[int, ...]
    categories_without_feature: tuple[str, ...]
    version: int
    changed: bool
    reused_shards: int


def describe_bank(bank: StoredBank, *, changed: bool, reused_shards: int) -> BuildReport:
    """Reports on a committed version; reads facts and ids, no pixels and no embeddings."""
    facts = bank.images_table(["image_id", "status"])
    counts = {row["values"]: row["counts"] for row in pc.value_counts(facts["status"]).to_pylist()}
    failed = facts.filter(pc.field("status") == "failed")["image_id"].to_pylist()
    features = bank.feature_rows().feature_id
    image_id, role = unpack_feature_ids(features)
    found = set(unpack_image_ids(image_id[role == FOREGROUND]).category_id.tolist())
    return BuildReport(
        images=facts.num_rows,
        accepted=counts.get("accepted", 0),
        rejected=counts.get("rejected", 0),
        failed=counts.get("failed", 0),
        features=len(features),
        failed_images=tuple(failed),
        categories_without_feature=tuple(
            record.name for record in bank.categories if record.category_id not in found
        ),
        version=bank.manifest.version,
        changed=changed,
        reused_shards=reused_shards,
    )


class StageClock:
    """Adds up wall-clock seconds by stage of the work."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the time inside the `with` block for a stage, also if it ends with an error."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Counts seconds that were taken elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage, rounded to milliseconds; stages that never ran are not there."""
        return {name: round(value, 3) for name, value in self._seconds.items()}
