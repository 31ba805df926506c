"""What a build will take: images and disk by counting, time by a probe of every stage on this
machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bank_builder.build import PreparedBuild
from schemas.errors import ModelError
from schemas.settings import Settings
from schemas.vocabulary import Vocabulary

if TYPE_CHECKING:
    from bank_builder.sources.base import PlannedImages

# Of a photo as PNG, where no image can be made to see: photos take 1.5 to 2.
_BYTES_PER_PIXEL = 1.75
_DIMENSION = 1024


@dataclass(frozen=True)
class Estimate:
    """What there is to make, and what it takes.

    categories, images: of the whole bank. to_make: images that are not there yet. bytes, seconds:
    for those. per_image: seconds by stage. gpu_bytes: the most GPU memory at once, None on a CPU.
    missing: why there are no times (seconds None, per_image empty): weights that are not here.
    """

    categories: int
    images: int
    to_make: int
    bytes: int
    seconds: float | None
    per_image: dict[str, float]
    gpu_bytes: int | None = None
    missing: str | None = None

    def text(self) -> str:
        """For a person to read."""
        work = f"{self.to_make} of {self.images} images of {self.categories} categories to make"
        disk = f"{self.bytes / 1e6:.0f} MB"
        if self.seconds is None:
            why = f"without the weights; {self.missing}" if self.missing else "without a photo"
            return f"{work}: about {disk}; no time {why}"
        stages = ", ".join(f"{stage} {value:.2f}" for stage, value in self.per_image.items())
        gpu = f", at most {self.gpu_bytes / 1e9:.1f} GB of GPU memory" if self.gpu_bytes else ""
        return (
            f"{work}: about {_duration(self.seconds)} and {disk} on this machine{gpu} "
            f"(seconds an image: {stages}); nothing was built"
        )


@dataclass(frozen=True)
class _Probe:
    """Of one image. seconds: by stage."""

    seconds: dict[str, float]
    png_bytes: int
    dimension: int
    gpu_bytes: int | None


def estimate(
    vocabulary: Vocabulary,
    settings: Settings,
    prepared: PreparedBuild,
    *,
    device: str,
    preset: str,
    on_stage: Callable[[str], None] = lambda words: None,
) -> Estimate:
    """Times one image of every stage (of a batch, a few denoising steps), and scales that up.

    Without the weights nothing can be timed: images and disk are estimated all the same, and
    nothing is downloaded for it.

    preset: as it was named, for what is said of missing weights.
    on_stage: called with what is done, such as "loading segmenter".
    """
    images, to_make = prepared.plan.images, prepared.images_to_make
    probe, missing = None, None
    try:
        probe = _probe(vocabulary.categories[0].name, images, settings, device, preset, on_stage)
    except ModelError as error:
        missing = str(error)
    if probe is None:
        probe = _Probe({}, int(images.pixel_count() * _BYTES_PER_PIXEL), _DIMENSION, None)
    # An image, its attention map (much smaller), two features and one in the index.
    each = probe.png_bytes + 4000 + 3 * 4 * probe.dimension + 600
    timed = sum(probe.seconds.values()) if probe.seconds else None
    total = None if timed is None else to_make * timed
    return Estimate(
        categories=len(vocabulary.categories),
        images=prepared.image_count,
        to_make=to_make,
        bytes=to_make * each,
        seconds=total,
        per_image=probe.seconds,
        gpu_bytes=probe.gpu_bytes,
        missing=missing,
    )


def _probe(
    name: str,
    images: PlannedImages,
    settings: Settings,
    device: str,
    preset: str,
    on_stage: Callable[[str], None],
) -> _Probe | None:
    """Times one image; None if there is none to time. ModelError if weights are missing."""
    import torch

    from foundation.images.reading import encode_png
    from foundation.stack import ModelStack
    from foundation.weights.missing import Caller

    purposes = ("build",) if "text_to_image" in images.roles else ("query",)
    caller = Caller(preset, purposes=purposes)
    stack = ModelStack(settings, device, offline=True, caller=caller)
    on_gpu = stack.device.type == "cuda"
    stack.load(images.roles, lambda role: on_stage(f"loading {role}"))
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(stack.device)
    on_stage(f"timing {images.stage}: a few short runs on {stack.device}")
    timed = images.time_one(name, stack)
    if timed is None:
        return None
    seconds = {images.stage: timed.seconds}
    image = timed.image.pixels
    centre = np.array([[[image.shape[1] / 2, image.shape[0] / 2]]], np.float32)
    on_stage("timing segmenter")
    stack.activate("segmenter")
    stack.segmenter.predict(stack.segmenter.embed(image), centre).predicted_iou.cpu()
    started = time.perf_counter()
    stack.segmenter.predict(stack.segmenter.embed(image), centre).predicted_iou.cpu()
    seconds["segment"] = (time.perf_counter() - started) * timed.segmented
    on_stage("timing features")
    stack.activate("features")
    tokens = stack.features.extract([image])[0]
    started = time.perf_counter()
    stack.features.extract([image])
    seconds["pool"] = time.perf_counter() - started
    started = time.perf_counter()
    png = encode_png(image)
    seconds["write"] = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(stack.device) if on_gpu else None
    return _Probe(seconds, len(png), tokens.shape[-1], peak)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
