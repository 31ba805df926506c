"""The sets of references that rows classify regions by; each is made when it is first needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.caching import CachingSegmenter
from benchmarks.accuracy.prompting import (
    PROMPTINGS,
    Prompting,
    SegmentedAgain,
    segmented_again,
)
from benchmarks.accuracy.references import (
    as_bank_features,
    judged_masks,
    patch_tokens,
    pooled,
    world_references,
)
from benchmarks.accuracy.rejection import dealt_rows
from benchmarks.accuracy.stored import (
    StoredImage,
    compared,
    first_numbers,
    mask_areas,
    stored_features,
    stored_images,
)
from foundation.stack import ModelStack
from miniature.training.judge import Judge
from schemas.ids import BACKGROUND, FOREGROUND, pack_feature_id
from schemas.store.bank import BankFeatures, StoredBank

BANK = "the bank's"
ATTENTION = "attention masks"
TRUE_MASKS = "true masks"
WORLD = "the world's own images"
EVERYTHING = "rejected ones too"
PLANTED = "wrong ones planted"
FOUND = "wrong ones planted, compared"
PLANTED_SHARE = 0.2
_PLANT_SEED = 0


def first(count: int) -> str:
    """The name of the set of the first `count` images of each category, compared together."""
    return f"first {count}"


def prompted(prompting: Prompting) -> str:
    """The name of the set of all images segmented again from these prompt points."""
    return f"{prompting.count} points, {prompting.choice}"


class ReferenceSets:
    """Sets of references made of one bank.

    All sets have negatives too. Sets other than the bank's own are judged as by the builder: what
    was segmented again for `prompted` image by image and by comparison, `first` and `FOUND` by
    comparison. `ATTENTION` and `TRUE_MASKS` are the very images that the bank accepted, under other
    masks: the binarised attention maps, and those of the judge.
    """

    def __init__(
        self,
        bank: StoredBank,
        stack: ModelStack,
        judge: Callable[[], Judge],
    ) -> None:
        """
        Args:
            bank: of the miniature world.
            stack: the bank's models.
            judge: gives the judge when that is needed.
        """
        self._bank = bank
        self._stack = stack
        self._judge = judge
        self._names = {record.category_id: record.name for record in bank.categories}
        self._made: dict[str, BankFeatures] = {}

    def get(self, name: str) -> BankFeatures:
        """Returns a set by its name: one of the constants above, `first(k)` or `prompted(p)`."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> BankFeatures:
        makers: dict[str, Callable[[], BankFeatures]] = {
            BANK: self._bank.features,
            ATTENTION: self._attention,
            TRUE_MASKS: self._true_masks,
            WORLD: lambda: world_references(self._bank, self._stack),
            EVERYTHING: lambda: stored_features(self._bank, rejected=True),
            PLANTED: self._planted,
            FOUND: lambda: self._compared(self.get(PLANTED), self._planted_areas),
        }
        if name in makers:
            return makers[name]()
        if found := re.fullmatch(r"first (\d+)", name):
            return self._compared(first_numbers(self._unjudged, int(found[1])), self._areas)
        for prompting, segmented in self._segmented_again.items():
            if name == prompted(prompting):
                return self._compared(segmented.features, segmented.areas)
        raise ValueError(f"expected the name of a set of references, found {name!r}")

    @cached_property
    def _unjudged(self) -> BankFeatures:
        return stored_features(self._bank, rejected=False)

    def _compared(self, features: BankFeatures, areas: Mapping[int, float]) -> BankFeatures:
        return compared(features, areas, self._names, self._bank.settings.reference)

    @cached_property
    def _areas(self) -> Mapping[int, float]:
        return mask_areas(self._bank)

    @cached_property
    def _images(self) -> Sequence[StoredImage]:
        return tuple(stored_images(self._bank))

    @cached_property
    def _tokens(self) -> Sequence[NDArray[np.float32]]:
        return list(patch_tokens(self._stack, [stored.image for stored in self._images]))

    @cached_property
    def _segmented_again(self) -> dict[Prompting, SegmentedAgain]:
        return segmented_again(
            self._images,
            self._tokens,
            CachingSegmenter(self._stack.segmenter),
            self._bank.settings,
            PROMPTINGS,
        )

    def _attention(self) -> BankFeatures:
        return self._under([stored.localisation.binary for stored in self._images])

    def _true_masks(self) -> BankFeatures:
        shown = ((stored.category, stored.image) for stored in self._images)
        return self._under(judged_masks(self._judge(), shown))

    def _under(self, masks: Sequence[NDArray[np.bool_]]) -> BankFeatures:
        """The features of the accepted images under masks (H, W), one for every stored image."""
        stored = zip(self._images, self._tokens, masks, strict=True)
        return pooled(
            ((stored.image_id, grid, mask) for stored, grid, mask in stored if stored.accepted),
            self._bank.settings.reference.min_area,
            self._bank.manifest.dimension,
        )

    def _planted(self) -> BankFeatures:
        """The features with a share of every category's images dealt out to other categories."""
        clean = self._unjudged
        rows = {int(one): row for row, one in enumerate(clean.feature_id)}
        moved = {}
        for image_id, source in self._planted_from.items():
            for role in (FOREGROUND, BACKGROUND):
                row = rows.get(pack_feature_id(source, role))
                if row is not None:
                    moved[pack_feature_id(image_id, role)] = clean.embeddings[row]
        return as_bank_features(moved, self._bank.manifest.dimension)

    @property
    def _planted_areas(self) -> Mapping[int, float]:
        return {image_id: self._areas[source] for image_id, source in self._planted_from.items()}

    @cached_property
    def _planted_from(self) -> Mapping[int, int]:
        """The image_id that each image's features come from when wrong ones are planted."""
        clean = self._unjudged
        own = clean.role == FOREGROUND
        ids = clean.image_id[own]
        origin = dealt_rows(clean.category_id[own], PLANTED_SHARE, _PLANT_SEED)
        return dict(zip(ids.tolist(), ids[origin].tolist(), strict=True))
