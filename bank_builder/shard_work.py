"""Makes shards: images in batches that never cross a shard, written when all are there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bank_builder.batches import BatchTooLarge, ahead, failure_reason, together_or_alone
from bank_builder.reference import (
    Examined,
    RegionFeatures,
    examine,
    failed_row,
    pool_reference,
    reference_row,
)
from bank_builder.report import StageClock
from bank_builder.sources.base import Made, Origin, PlannedImages, SourceImage
from foundation.interfaces import BuildStack, PatchExtractor
from schemas.records import ShardRecord
from schemas.settings import Settings
from schemas.store.shard_writer import ShardWriter
from schemas.store.shards import ShardSpec
from schemas.tables import ReferenceRow

logger = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Batch:
    """Images that were made together, and how many seconds that took."""

    made: Sequence[Made]
    seconds: float


def make_shards(
    bank: Path,
    specs: Sequence[ShardSpec],
    images: PlannedImages,
    models: BuildStack,
    settings: Settings,
    size: int,
    on_batch: Callable[[Sequence[ReferenceRow]], None],
    on_restart: Callable[[Sequence[str]], None],
    on_stage: Callable[[str, str], None] = lambda stage, category: None,
) -> Iterator[ShardRecord]:
    """Makes the images of shards, in turn, and writes each shard when it is complete.

    A model that fails on a batch is given its images one by one, so that one bad image costs only
    itself: its row has the status "failed" and the error as its reason. Where the memory does not
    suffice for a batch, the shard is begun again with a smaller one, or with models that take
    turns. Three batches at most are in memory at a time. Whatever else is raised (an interrupt, a
    full disk, missing weights) passes through, and nothing of an unfinished shard remains.

    Args:
        specs: the shards, all of the source of `images`.
        size: of the batches to begin with, by `PlannedImages.batch_size`.
        on_batch: is given the rows of every batch.
        on_restart: is given the statuses of the rows that are made again.
        on_stage: is called with "first batch" and the first category before any images are made.
    """
    left = list(specs)
    if left:
        on_stage("first batch", left[0].category)
    while left:
        reason = ""
        work = _Work(bank, images, models, settings, size, on_batch, on_restart)
        try:
            for record in work.shards(tuple(left)):
                del left[0]
                yield record
        except BatchTooLarge as error:
            reason = str(error)
        # Outside the handler: the error holds on to what was in memory.
        if left:
            size = models.take_less(size)
            logger.warning("no memory left; going on with batches of %d: %s", size, reason)


@dataclass(frozen=True)
class _Work:
    """Shards in batches of `size`; the rest as in `make_shards`."""

    bank: Path
    images: PlannedImages
    models: BuildStack
    settings: Settings
    size: int
    on_batch: Callable[[Sequence[ReferenceRow]], None]
    on_restart: Callable[[Sequence[str]], None]

    def shards(self, specs: Sequence[ShardSpec]) -> Iterator[ShardRecord]:
        """Makes and writes shards; BatchTooLarge where the memory does not suffice."""
        batches = (batch for spec in specs for batch in self._made(spec))
        made: AbstractContextManager[Iterator[_Batch]] = (
            ahead(batches) if self.models.works_ahead else nullcontext(batches)
        )
        with made as coming:
            for spec in specs:
                number = -(-(spec.stop - spec.start) // self.size)
                yield self._shard(spec, islice(coming, number))

    def _shard(self, spec: ShardSpec, batches: Iterator[_Batch]) -> ShardRecord:
        clock = StageClock()
        counted: list[str] = []
        with ShardWriter(self.bank, spec, dimension=self.models.features.dimension) as writer:
            try:
                for batch in batches:
                    clock.add(self.images.stage, batch.seconds)
                    rows = self._rows(batch, clock)
                    with clock.stage("write"):
                        for row in rows:
                            writer.add(row)
                    counted += [row.status for row in rows]
                    self.on_batch(rows)
            except BatchTooLarge:
                self.on_restart(counted)
                raise
            return writer.finish(
                batch_size=self.size,
                device=str(self.models.device),
                seconds=clock.seconds,
                photos=self.images.photos(spec),
            )

    def _made(self, spec: ShardSpec) -> Iterator[_Batch]:
        """A shard's images in the order of their numbers, `size` at a time."""
        for first in range(spec.start, spec.stop, self.size):
            numbers = range(first, min(first + self.size, spec.stop))
            started = time.perf_counter()
            made = self.images.make(spec, numbers, self.models, divisible=self._divisible)
            yield _Batch(made, time.perf_counter() - started)

    def _rows(self, batch: _Batch, clock: StageClock) -> list[ReferenceRow]:
        """The rows of a batch, in the order of their numbers."""
        models, settings = self.models, self.settings
        segmenter = models.segmenter

        def examine_all(some: Sequence[SourceImage]) -> list[Examined]:
            return [examine(image, segmenter, settings, clock) for image in some]

        rows: list[ReferenceRow] = []
        seen: list[tuple[Origin, Examined]] = []
        models.activate("segmenter")
        for origin, image in batch.made:
            if isinstance(image, Exception):
                rows.append(failed_row(origin, failure_reason(self.images.doing, image)))
                continue
            (examined,) = together_or_alone(examine_all, [image], divisible=self._divisible)
            if isinstance(examined, Exception):
                rows.append(failed_row(origin, failure_reason("segmenting", examined), image))
            else:
                seen.append((origin, examined))
        models.activate("features")
        with clock.stage("pool"):
            examinations = [one for _, one in seen]
            regions = _pool(examinations, models.features, settings, self._divisible)
        with clock.stage("write"):
            for (origin, examined), features in zip(seen, regions, strict=True):
                if isinstance(features, Exception):
                    reason = failure_reason("extracting features", features)
                    rows.append(failed_row(origin, reason, examined.image))
                else:
                    rows.append(reference_row(origin, examined, features))
        return sorted(rows, key=lambda row: row.number)

    @property
    def _divisible(self) -> bool:
        """Whether less memory can be tried."""
        return self.models.can_take_less(self.size)


def _pool(
    examined: Sequence[Examined], extractor: PatchExtractor, settings: Settings, divisible: bool
) -> list[RegionFeatures | Exception]:
    """Computes the features of every image that has a mask, also of a rejected one: a person may
    accept it.
    """
    min_area = settings.reference.min_area
    masked = [
        (index, one.image.pixels, one.reference.mask)
        for index, one in enumerate(examined)
        if one.reference is not None and one.reference.mask.any()
    ]

    def pool(some: Sequence[tuple[int, Pixels, Mask]]) -> list[RegionFeatures]:
        tokens = extractor.extract([pixels for _, pixels, _ in some])
        masks = [mask for _, _, mask in some]
        return [pool_reference(*pair, min_area) for pair in zip(tokens, masks, strict=True)]

    pooled = together_or_alone(pool, masked, divisible=divisible)
    features: list[RegionFeatures | Exception] = [RegionFeatures() for _ in examined]
    for (index, _, _), found in zip(masked, pooled, strict=True):
        features[index] = found
    return features
