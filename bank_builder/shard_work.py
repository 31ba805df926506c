"""One shard's work: its images in batches that never cross it, written when all are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bank_builder.isolation import failure_reason, together_or_alone
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

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def work_shard(
    bank: Path,
    spec: ShardSpec,
    models: BuildModels,
    settings: Settings,
    on_batch: Callable[[Sequence[ReferenceRow]], None],
) -> ShardRecord:
    """Makes the images of one shard and publishes it; `on_batch` sees the rows of every batch.

    A model that fails on a batch is given its images one by one, so that one bad image costs only
    itself: its row has the status "failed" and the error as its reason. Only one batch is in memory
    at a time. Whatever else is raised (an interrupt, a full disk, missing weights) passes through,
    and nothing of the shard remains.
    """
    clock = StageClock()
    batch_size = settings.generation.batch_size
    with ShardWriter(bank, spec, dimension=models.features.dimension) as writer:
        for rows in reference_rows(spec, models, settings, clock):
            with clock.stage("write"):
                for row in rows:
                    writer.add(row)
            on_batch(rows)
        return writer.finish(
            batch_size=batch_size, device=str(models.device), seconds=clock.seconds
        )


def reference_rows(
    spec: ShardSpec, models: BuildModels, settings: Settings, clock: StageClock
) -> Iterator[list[ReferenceRow]]:
    """The rows of a shard in the order of their numbers, one list a batch."""
    generation = settings.generation
    prompt = category_prompt(spec.category, generation.template, generation.no_article)
    for first in range(spec.start, spec.stop, generation.batch_size):
        numbers = range(first, min(first + generation.batch_size, spec.stop))
        origins = [
            Origin(
                category_id=spec.category_id,
                category=spec.category,
                number=number,
                source=spec.source,
                prompt=prompt.text,
                seed=image_seed(generation.seed, spec.category, number),
            )
            for number in numbers
        ]
        yield _batch_rows(prompt, origins, models, settings, clock)


def _batch_rows(
    prompt: Prompt,
    origins: Sequence[Origin],
    models: BuildModels,
    settings: Settings,
    clock: StageClock,
) -> list[ReferenceRow]:
    # Asked for here, so that weights that are missing end the build instead of failing images.
    generator, segmenter, extractor = models.text_to_image, models.segmenter, models.features

    def generate(some: Sequence[Origin]) -> list[GeneratedImage]:
        return generator.generate([prompt] * len(some), [origin.seed for origin in some])

    def look(some: Sequence[GeneratedImage]) -> list[Examined]:
        return [examine(generated, segmenter, settings, clock) for generated in some]

    rows: list[ReferenceRow] = []
    seen: list[tuple[Origin, Examined]] = []
    with clock.stage("generate"):
        pictures = together_or_alone(generate, origins)
    for origin, picture in zip(origins, pictures, strict=True):
        if isinstance(picture, Exception):
            rows.append(failed_row(origin, failure_reason("generating", picture)))
            continue
        (examined,) = together_or_alone(look, [picture])
        if isinstance(examined, Exception):
            rows.append(failed_row(origin, failure_reason("segmenting", examined), picture))
        else:
            seen.append((origin, examined))
    with clock.stage("pool"):
        regions = _pool([one for _, one in seen], extractor, settings)
    with clock.stage("write"):
        for (origin, examined), features in zip(seen, regions, strict=True):
            if isinstance(features, Exception):
                reason = failure_reason("extracting features", features)
                rows.append(failed_row(origin, reason, examined.generated))
            else:
                rows.append(reference_row(origin, examined, features))
    return sorted(rows, key=lambda row: row.number)


def _pool(
    examined: Sequence[Examined], extractor: PatchExtractor, settings: Settings
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

    features: list[RegionFeatures | Exception] = [RegionFeatures() for _ in examined]
    for (index, _, _), found in zip(masked, together_or_alone(pool, masked), strict=True):
        features[index] = found
    return features
