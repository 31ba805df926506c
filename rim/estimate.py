"""What a build will take: images and disk by counting, time by a probe of every stage on this
machine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from bank_builder.build import BuildPreview
from schemas.settings import Settings
from schemas.vocabulary import Vocabulary

_PROBE_STEPS = 2


@dataclass(frozen=True)
class Estimate:
    """categories, images: of the whole bank. to_make: images that are not there yet. bytes,
    seconds: for those.
    per_image: seconds by stage."""

    categories: int
    images: int
    to_make: int
    bytes: int
    seconds: float
    per_image: dict[str, float]

    def text(self) -> str:
        stages = ", ".join(f"{stage} {value:.2f}" for stage, value in self.per_image.items())
        return (
            f"{self.to_make} of {self.images} images of {self.categories} categories to make: "
            f"about {_duration(self.seconds)} and {self.bytes / 1e6:.0f} MB on this machine "
            f"(seconds an image: {stages}); nothing was built"
        )


def estimate(
    vocabulary: Vocabulary,
    settings: Settings,
    preview: BuildPreview,
    *,
    device: str,
    offline: bool,
) -> Estimate:
    """Times a few denoising steps of one batch, one mask and one feature, and scales them up.

    Raises ModelError if weights are missing.
    """
    from bank_builder.prompts import category_prompt
    from foundation.images import encode_png
    from foundation.stack import ModelStack

    generation = settings.generation
    count = min(generation.batch_size, generation.images_per_category)
    steps = min(_PROBE_STEPS, generation.steps)
    short = settings.model_copy(
        update={"generation": generation.model_copy(update={"steps": steps})}
    )
    stack = ModelStack(short, device, offline)
    name = vocabulary.categories[0].name
    prompt = category_prompt(name, generation.template, generation.no_article)
    stack.text_to_image.generate([prompt], [0])  # loads and warms up
    started = time.perf_counter()
    made = stack.text_to_image.generate([prompt] * count, list(range(count)))
    generate = (time.perf_counter() - started) / count * generation.steps / steps

    image = made[0].image
    centre = np.array([[[image.shape[1] / 2, image.shape[0] / 2]]], np.float32)
    stack.segmenter.predict(stack.segmenter.embed(image), centre)
    started = time.perf_counter()
    stack.segmenter.predict(stack.segmenter.embed(image), centre)
    segment = time.perf_counter() - started
    tokens = stack.features.extract([image])[0]
    started = time.perf_counter()
    stack.features.extract([image])
    pool = time.perf_counter() - started

    # A picture, its attention map (about a third of it), two features and one in the index.
    each = len(encode_png(image)) * 4 // 3 + 3 * 4 * tokens.shape[-1] + 600
    per_image = {"generate": generate, "segment": segment, "pool": pool}
    return Estimate(
        categories=len(vocabulary.categories),
        images=preview.images,
        to_make=preview.images_to_make,
        bytes=preview.images_to_make * each,
        seconds=preview.images_to_make * sum(per_image.values()),
        per_image=per_image,
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
