"""The shards of a build: images in batches that never cross a shard, written when all are there."""

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

from bank_builder.ahead import ahead
from bank_builder.isolation import BatchTooLarge, failure_reason, together_or_alone
from bank_builder.models import BuildModels, PatchExtractor
from bank_builder.prompts import category_prompt
from bank_builder.reference import (
    Examined,
    Origin,
    RegionFeatures,
    examine,
    failed_row,
    pool_reference,
    reference_row,
)
from bank_builder.seeds import image_seed
from bank_builder.stage_clock import StageClock
from foundation.text_to_image import GeneratedImage, Prompt
from schemas.settings import Settings
from schemas.shards import ShardRecord, ShardSpec, ShardWriter
from schemas.tables import ReferenceRow

logger = logging.getLogger(__name__)

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Batch:
    """Pictures that were made together, or what each of them raised; seconds: how long it took."""

    origins: Sequence[Origin]
    pictures: Sequence[GeneratedImage | Exception]
    seconds: float


def work_shards(
    bank: Path,
    specs: Sequence[ShardSpec],
    models: BuildModels,
    settings: Settings,
    on_batch: Callable[[Sequence[ReferenceRow]], None],
    on_restart: Callable[[Sequence[str]], None],
) -> Iterator[ShardRecord]:
    """Makes the images of shards, in turn, and publishes each when it is complete.

    A model that fails on a batch is given its images one by one, so that one bad image costs only
    itself: its row has the status "failed" and the error as its reason. Where the memory does not
    suffice for a batch, the shard is begun anew with batches of half the size. Three batches at
    most are in memory at a time. Whatever else is raised (an interrupt, a full disk, missing
    weights) passes through, and nothing of an unfinished shard remains.

    Args:
        on_batch: is given the rows of every batch.
        on_restart: is given the statuses of the rows that are made anew.
    """
    left = list(specs)
    size = models.batch_that_fits(settings.generation.batch_size) if left else 1
    while left:
        work = _Work(bank, models, settings, size, on_batch, on_restart)
        try:
            for record in work.shards(tuple(left)):
                del left[0]
                yield record
        except BatchTooLarge as error:
            size = max(1, size // 2)
            logger.warning("no memory left; going on with batches of %d: %s", size, error)


@dataclass(frozen=True)
class _Work:
    """Shards in batches of `size`; the rest as in `work_shards`."""

    bank: Path
    models: BuildModels
    settings: Settings
    size: int
    on_batch: Callable[[Sequence[ReferenceRow]], None]
    on_restart: Callable[[Sequence[str]], None]

    def shards(self, specs: Sequence[ShardSpec]) -> Iterator[ShardRecord]:
        """Makes and publishes shards; BatchTooLarge where the memory does not suffice."""
        pictures = (batch for spec in specs for batch in self._generated(spec))
        made: AbstractContextManager[Iterator[_Batch]] = (
            ahead(pictures) if self.models.works_ahead else nullcontext(pictures)
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
                    clock.add("generate", batch.seconds)
                    rows = _rows(batch, self.models, self.settings, clock, self._divisible)
                    with clock.stage("write"):
                        for row in rows:
                            writer.add(row)
                    counted += [row.status for row in rows]
                    self.on_batch(rows)
            except BatchTooLarge:
                self.on_restart(counted)
                raise
            return writer.finish(
                batch_size=self.size, device=str(self.models.device), seconds=clock.seconds
            )

    def _generated(self, spec: ShardSpec) -> Iterator[_Batch]:
        """A shard's pictures in the order of their numbers, `size` at a time."""
        generation = self.settings.generation
        prompt = category_prompt(spec.category, generation.template, generation.no_article)
        # Asked for here, so that weights that are missing end the build instead of failing images.
        generator = self.models.text_to_image

        def generate(some: Sequence[Origin]) -> list[GeneratedImage]:
            seeds = [origin.seed for origin in some]
            return generator.generate([prompt] * len(some), seeds)

        for first in range(spec.start, spec.stop, self.size):
            numbers = range(first, min(first + self.size, spec.stop))
            origins = [_origin(spec, number, prompt, generation.seed) for number in numbers]
            self.models.activate("text_to_image")
            started = time.perf_counter()
            pictures = together_or_alone(generate, origins, divisible=self._divisible)
            yield _Batch(origins, pictures, time.perf_counter() - started)

    @property
    def _divisible(self) -> bool:
        """Whether less memory can be tried."""
        return self.size > 1


def _origin(spec: ShardSpec, number: int, prompt: Prompt, seed: int) -> Origin:
    return Origin(
        category_id=spec.category_id,
        category=spec.category,
        number=number,
        source=spec.source,
        prompt=prompt.text,
        seed=image_seed(seed, spec.category, number),
    )


def _rows(
    batch: _Batch, models: BuildModels, settings: Settings, clock: StageClock, divisible: bool
) -> list[ReferenceRow]:
    """The rows of a batch, in the order of their numbers."""
    segmenter, extractor = models.segmenter, models.features

    def look(some: Sequence[GeneratedImage]) -> list[Examined]:
        return [examine(generated, segmenter, settings, clock) for generated in some]

    rows: list[ReferenceRow] = []
    seen: list[tuple[Origin, Examined]] = []
    models.activate("segmenter")
    for origin, picture in zip(batch.origins, batch.pictures, strict=True):
        if isinstance(picture, Exception):
            rows.append(failed_row(origin, failure_reason("generating", picture)))
            continue
        (examined,) = together_or_alone(look, [picture], divisible=divisible)
        if isinstance(examined, Exception):
            rows.append(failed_row(origin, failure_reason("segmenting", examined), picture))
        else:
            seen.append((origin, examined))
    models.activate("features")
    with clock.stage("pool"):
        regions = _pool([one for _, one in seen], extractor, settings, divisible)
    with clock.stage("write"):
        for (origin, examined), features in zip(seen, regions, strict=True):
            if isinstance(features, Exception):
                reason = failure_reason("extracting features", features)
                rows.append(failed_row(origin, reason, examined.generated))
            else:
                rows.append(reference_row(origin, examined, features))
    return sorted(rows, key=lambda row: row.number)


def _pool(
    examined: Sequence[Examined], extractor: PatchExtractor, settings: Settings, divisible: bool
) -> list[RegionFeatures | Exception]:
    """The features of every image that has a mask, also a rejected one: a person may accept it."""
    min_area = settings.reference.min_area
    masked = [
        (index, one.generated.image, one.reference.mask)
        for index, one in enumerate(examined)
        if one.reference is not None and one.reference.mask.any()
    ]

    def pool(some: Sequence[tuple[int, Image, Mask]]) -> list[RegionFeatures]:
        tokens = extractor.extract([image for _, image, _ in some])
        masks = [mask for _, _, mask in some]
        return [pool_reference(*pair, min_area) for pair in zip(tokens, masks, strict=True)]

    pooled = together_or_alone(pool, masked, divisible=divisible)
    features: list[RegionFeatures | Exception] = [RegionFeatures() for _ in examined]
    for (index, _, _), found in zip(masked, pooled, strict=True):
        features[index] = found
    return features
