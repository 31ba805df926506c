"""Scenes of the miniature world, cut into regions: by SAM, fused, and along the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foundation.images.pooling import pool_regions
from miniature.world import CATEGORIES, Scene, draw_scene
from query.enlargement import Enlargement
from query.partition import find_partition
from query.region_mask import RegionMask
from query.regions import PhotoRegion, SegmentedPhoto
from rim.evaluation.datasets.miniature import evaluation_seed

Cut = Literal["sam", "fused", "true"]
Cutter = Callable[[NDArray[np.uint8]], SegmentedPhoto]
Masks = NDArray[np.bool_]


def true_regions(scene: Scene) -> Masks:
    """(n, H, W): every thing, and every kind of stuff that is to be seen."""
    stuff = [scene.labels == CATEGORIES.index(kind) for kind in scene.stuff]
    masks = np.stack([*(instance.mask for instance in scene.instances), *stuff])
    return masks[masks.any((1, 2))]


def cut_along(
    pixels: NDArray[np.uint8], tokens: NDArray[np.float32], masks: Masks
) -> SegmentedPhoto:
    """A photo (H, W, 3) with these masks (n, H, W) as its regions, pooled as in a query.

    tokens: (gh, gw, d), the photo's. Masks without a feature are left out.
    """
    features, valid = pool_regions(tokens, masks)
    regions = tuple(
        PhotoRegion(RegionMask.of_mask(mask), feature)
        for mask, feature in zip(masks[valid], features[valid], strict=True)
    )
    size = (pixels.shape[0], pixels.shape[1])
    partition = find_partition(Enlargement.of(size, size), [region.mask for region in regions])
    return SegmentedPhoto(pixels, tokens, regions, partition)


class CutScenes:
    """The first scenes of an evaluation seed; they are cut when that is first needed, once.

    Attributes:
        seed: as of `rim eval --dataset miniature --seed SEED`.
    """

    def __init__(self, count: int, seed: int, cutters: Mapping[Cut, Cutter]) -> None:
        """
        Args:
            count: scenes.
            seed: of `rim.evaluation.datasets.miniature.evaluation_seed`.
            cutters: `QueryEngine.cut` of an engine without fusion ("sam"), and of others. A scene
                goes through all of them before the next one does.
        """
        self.seed = seed
        self._count = count
        self._cutters = cutters
        self._photos: dict[Cut, list[SegmentedPhoto]] = {}

    def __len__(self) -> int:
        return self._count

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes with their truth."""
        return tuple(draw_scene(evaluation_seed(self.seed, n)) for n in range(self._count))

    def photos(self, cut: Cut) -> Sequence[SegmentedPhoto]:
        """The scenes cut in one way, in their order."""
        self.prepare()
        return self._photos[cut]

    def prepare(self, on_scene: Callable[[], None] = lambda: None) -> None:
        """Cuts the scenes unless that is done already; `on_scene` is called after each."""
        if self._photos:
            return
        photos: dict[Cut, list[SegmentedPhoto]] = {cut: [] for cut in (*self._cutters, "true")}
        for scene in self.scenes:
            for cut, cutter in self._cutters.items():
                photos[cut].append(cutter(scene.image))
            tokens = photos["sam"][-1].tokens
            photos["true"].append(cut_along(scene.image, tokens, true_regions(scene)))
            on_scene()
        self._photos = photos
