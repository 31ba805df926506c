"""Segments a bank's images again from other prompt points: other numbers, other choices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bank_builder.localise import Localisation
from bank_builder.points import sample_points
from bank_builder.reference_mask import localisation_reason, mask_reason, segment_reference
from benchmarks.accuracy.references import pooled
from benchmarks.accuracy.stored import StoredImage
from foundation.images.masks import mask_area_fraction
from foundation.interfaces import Segmenter
from schemas.settings import Settings
from schemas.store.bank import BankFeatures

Choice = Literal["algorithm", "random", "maximum"]
COUNTS = (1, 2, 4, 8)
CHOICES: tuple[Choice, ...] = ("algorithm", "random", "maximum")


@dataclass(frozen=True)
class Prompting:
    """A way to choose prompt points on a binarised attention map.

    count: N. choice: "algorithm", Algorithm 1; "random", any N pixels of the foreground; "maximum",
    the N pixels of the foreground where the map is largest.
    """

    count: int
    choice: Choice

    def points(self, found: Localisation, image_id: int) -> NDArray[np.int32]:
        """(m, 2) int32 (x, y), m <= N, all different and in the foreground.

        image_id: of the image; with N it seeds what is random.
        """
        if self.choice == "algorithm":
            return sample_points(found.binary, self.count, found.scaled)
        foreground = np.flatnonzero(found.binary)
        if self.choice == "random":
            rng = np.random.default_rng([image_id, self.count])
            taken = rng.permutation(foreground)[: self.count]
        else:
            order = np.argsort(-found.scaled.ravel()[foreground], kind="stable")
            taken = foreground[order[: self.count]]
        y, x = np.divmod(taken, found.binary.shape[1])
        return np.stack([x, y], axis=1).astype(np.int32)


@dataclass(frozen=True)
class SegmentedAgain:
    """The accepted images of one way of prompting: their features, and the areas of their masks.

    areas: shares of the image, by image_id.
    """

    features: BankFeatures
    areas: dict[int, float]


PROMPTINGS = tuple(Prompting(count, choice) for choice in CHOICES for count in COUNTS)


def segmented_again(
    images: Sequence[StoredImage],
    tokens: Sequence[NDArray[np.float32]],
    segmenter: Segmenter,
    settings: Settings,
    promptings: Iterable[Prompting] = PROMPTINGS,
) -> dict[Prompting, SegmentedAgain]:
    """Segments images with each way of prompting, and judges them as the builder does.

    Everything else is as in a build: the mask is chosen among SAM's by the attention map, accepted
    or rejected by itself (`bank_builder.reference_mask`), and pooled. Images are not compared with
    each other.

    Args:
        images: accepted or rejected.
        tokens: (gh, gw, d) of each.
        segmenter: asked for one image after the other; better a `CachingSegmenter`.
        settings: the bank's.
    """
    accepted: dict[Prompting, list[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]]
    accepted = {prompting: [] for prompting in promptings}
    for stored, grid in zip(images, tokens, strict=True):
        found = stored.localisation
        for prompting, so_far in accepted.items():
            if localisation_reason(found) is not None:
                continue
            points = prompting.points(found, stored.image_id)
            reference = segment_reference(
                segmenter, stored.image, found, points, settings.reference
            )
            if mask_reason(reference, found, settings.reference) is None:
                so_far.append((stored.image_id, grid, reference.mask))
    dimension = tokens[0].shape[2]
    return {
        prompting: SegmentedAgain(
            pooled(rows, settings.reference.min_area, dimension),
            {image_id: mask_area_fraction(mask) for image_id, _, mask in rows},
        )
        for prompting, rows in accepted.items()
    }
