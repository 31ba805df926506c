"""Reference images that a text-to-image model makes of each category's prompt."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bank_builder.batches import together_or_alone
from bank_builder.output_folder import Existing
from bank_builder.sources.base import Made, Origin, SourceImage, TimedImage
from foundation.interfaces import BuildStack, GeneratedImage, TextToImage
from foundation.prompts import category_prompt, spoken_name
from foundation.weights.roles import BUILD_ROLES
from schemas.errors import UsageError
from schemas.ids import DIFFUSION
from schemas.manifest import BuildPlan
from schemas.records import CategoryPhotos, CategoryRecord, PhotoRecord
from schemas.settings import Settings
from schemas.store.shards import ShardSpec
from schemas.text import did_you_mean, shortened
from schemas.vocabulary import Vocabulary, name_key

_TIMED_STEPS = 2  # beyond the fewest


def image_seed(seed: int, category_name: str, number: int) -> int:
    """The seed of image `number` of a category, in [0, 2**63).

    The first 63 bits of the SHA-256 of "seed, newline, name, newline, number" in UTF-8. A
    category's name has no control characters, so different triples give different texts. The
    place of the image in a batch, a shard or a vocabulary plays no part [ours].
    """
    text = f"{seed}\n{category_name}\n{number}"
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def check_known(
    vocabulary: Vocabulary, settings: Settings, illustrated: frozenset[str] = frozenset()
) -> None:
    """Raises UsageError for categories that the preset's generator was never taught.

    illustrated: the keys of names whose references are photos in the bank; these may be unknown.
    """
    unknown = [
        name
        for name in vocabulary.names
        if not knows(settings, name) and name_key(name) not in illustrated
    ]
    if unknown:
        known = settings.known_categories or ()
        guess = did_you_mean(unknown[0], known) if len(unknown) == 1 else ""
        raise UsageError(
            f"the generator of the preset {settings.preset!r} does not know "
            f"{shortened(unknown)}{guess}; it knows {', '.join(known)}. "
            "For other categories use --preset paper, or photos of your own: --source folder:DIR"
        )


def knows(settings: Settings, name: str) -> bool:
    """Whether the preset's generator was taught a category; one that does not say knows all."""
    if settings.known_categories is None:
        return True
    known = {name_key(one) for one in settings.known_categories}
    return not known.isdisjoint((name_key(name), name_key(spoken_name(name))))


@dataclass(frozen=True)
class DiffusionSource:
    """K generated images of every category that the generator knows.

    One that it does not know must have photos in the bank, and is left to them.
    """

    name: Literal["diffusion"] = DIFFUSION
    generates: bool = True

    def check(self, vocabulary: Vocabulary, settings: Settings, existing: Existing) -> None:
        """UsageError for categories that the generator does not know and that have no photos."""
        manifest = existing.manifest
        with_photos = {shard.category_id for shard in manifest.shards} if manifest else set()
        records = manifest.vocabulary if manifest else ()
        illustrated = frozenset(
            name_key(one.name)
            for one in records
            if one.category_id in with_photos and not one.removed
        )
        check_known(vocabulary, settings, illustrated)

    def numbered(
        self, records: Sequence[CategoryRecord], existing: Existing
    ) -> tuple[CategoryPhotos, ...]:
        """No photos."""
        return ()

    def images(self, plan: BuildPlan, settings: Settings) -> GeneratedImages:
        """The images of a plan."""
        return GeneratedImages(plan.images_per_category, settings)


@dataclass(frozen=True)
class GeneratedImages:
    """Images 0 to K - 1 of every category.

    An image depends on its seed and, by floating-point rounding, on its batch alone.
    """

    images_per_category: int
    settings: Settings
    source: str = DIFFUSION
    stage: str = "generate"
    doing: str = "generating"
    roles: tuple[str, ...] = BUILD_ROLES

    def count(self, category: CategoryRecord) -> int:
        """K, or none if the generator does not know the category."""
        return self.images_per_category if knows(self.settings, category.name) else 0

    def build_hash(self, category_id: int, start: int, stop: int) -> str:
        """The build hash of the settings, whichever shard it is."""
        return self.settings.build_hash()

    def photos(self, spec: ShardSpec) -> tuple[PhotoRecord, ...]:
        """No photos."""
        return ()

    def gone(self, spec: ShardSpec) -> list[str]:
        """No photos."""
        return []

    def batch_size(self, models: BuildStack) -> int:
        """The batch size of the settings, or less if the memory does not suffice."""
        return models.batch_that_fits(self.settings.generation.batch_size, self.roles)

    def make(
        self, spec: ShardSpec, numbers: Sequence[int], models: BuildStack, *, divisible: bool
    ) -> list[Made]:
        """Generates images as one batch, or one by one if that fails."""
        generation = self.settings.generation
        prompt = category_prompt(spec.category, generation.template, generation.no_article)
        # Asked for here, so that weights that are missing end the build instead of failing images.
        generator = models.text_to_image

        def generate(seeds: Sequence[int]) -> list[SourceImage]:
            made = generator.generate([prompt] * len(seeds), seeds)
            return [
                SourceImage(one.image, attention=one.attention, flagged=one.flagged) for one in made
            ]

        seeds = [image_seed(generation.seed, spec.category, number) for number in numbers]
        origins = [
            Origin(
                category_id=spec.category_id,
                category=spec.category,
                number=number,
                source=spec.source,
                prompt=prompt.text,
                seed=seed,
            )
            for number, seed in zip(numbers, seeds, strict=True)
        ]
        models.activate("text_to_image")
        images = together_or_alone(generate, seeds, divisible=divisible)
        return list(zip(origins, images, strict=True))

    def time_one(self, category: str, models: BuildStack) -> TimedImage:
        """Makes one batch of a category in a few steps; the time is that of all the steps."""
        generation = self.settings.generation
        count = models.batch_that_fits(min(generation.batch_size, self.images_per_category))
        prompt = category_prompt(category, generation.template, generation.no_article)
        models.activate("text_to_image")
        whole = models.text_to_image

        def generate(generator: TextToImage) -> tuple[float, list[GeneratedImage]]:
            started = time.perf_counter()
            made = generator.generate([prompt] * count, list(range(count)))
            return time.perf_counter() - started, made

        short = whole.shortened(1)
        generate(short)  # warms up
        seconds, made = generate(short)
        # Encoding the text and decoding the image come once, however often the UNet is called.
        if whole.calls > short.calls:
            longer = whole.shortened(min(short.steps + _TIMED_STEPS, whole.steps))
            more = max(0.0, generate(longer)[0] - seconds)
            a_call = more / (longer.calls - short.calls)
            seconds += a_call * (whole.calls - short.calls)
        image = SourceImage(made[0].image, attention=made[0].attention)
        return TimedImage(image, seconds / count)

    def pixel_count(self) -> int:
        """Height times width by the settings."""
        return self.settings.generation.height * self.settings.generation.width


GENERATED = DiffusionSource()
"""The source of a build that names no other."""
