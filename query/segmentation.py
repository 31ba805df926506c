"""Online stage: photo -> proposals -> regions -> features -> matches -> label map."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundation.images import read_image
from foundation.masks import Rle, decode_rle, encode_rle, mask_box
from foundation.pooling import pool_regions
from query.fuse import FusedMask, fuse_masks
from query.label_map import (
    UNLABELLED,
    above_background,
    fill_uncovered,
    paint,
    paint_order,
    uncovered_patches,
)
from query.matchers import Matches, make_matcher
from query.matchers.base import NO_FEATURE
from query.models import Segmenter, Stack, check_models
from query.proposals import MaskProposals, propose
from query.result import NearReference, Region, Segmentation
from schemas.errors import ImageError, UsageError
from schemas.ids import unpack_feature_ids, unpack_image_ids

if TYPE_CHECKING:
    from foundation.segmenter import ImageEmbedding
    from schemas.bank import Bank
    from schemas.records import CategoryRecord
    from schemas.settings import Settings

__all__ = ["NearReference", "QueryEngine", "Region", "Segmentation"]

_PIXELS_AT_ONCE = 1 << 26  # of full-size masks: 64 MB


@dataclass(frozen=True)
class _Mask:
    """A region at the photo's size, before it is matched. feature: (d,) L2-normalised."""

    rle: Rle
    area: int
    box: tuple[int, int, int, int]
    feature: NDArray[np.float32]


class QueryEngine:
    """Labels photos with a bank's categories.

    Attributes:
        categories: the bank's categories, without removed ones.
    """

    def __init__(self, bank: Bank, stack: Stack, settings: Settings | None = None) -> None:
        """Opens the bank's features and checks that the models are the bank's own.

        Args:
            bank: open for reading.
            stack: the models; only `segmenter` and `features` are needed.
            settings: the sections `proposals` and `matching` count; by default the bank's own.

        Raises:
            ModelError: a model is missing, or not the one that the bank was made with.
            BankError: the bank has no reference, or its features were made at another size.
            BankDamaged: its files are not what was written.
        """
        check_models(bank, stack)
        settings = bank.settings if settings is None else settings
        self.categories: tuple[CategoryRecord, ...] = bank.categories
        self._stack = stack
        self._proposals = settings.proposals
        self._background = settings.matching.background
        self._matcher = make_matcher(bank, settings.matching)
        self._names = {record.category_id: record.name for record in bank.categories}
        self._version = bank.manifest.version

    def segment(
        self,
        image: str | Path | NDArray[np.uint8],
        *,
        categories: Collection[int] | None = None,
    ) -> Segmentation:
        """Label every pixel of a photo.

        Args:
            image: a picture file, or uint8 (H, W, 3) RGB.
            categories: ids of the only categories to consider; None for all.

        Raises:
            ImageError: the file is no picture, or the array has another shape or type.
            UsageError: no category is chosen, or one that the bank does not have.
            BankError: none of the chosen categories has a reference.
        """
        self._check_categories(categories)
        pixels = _as_pixels(image)
        tokens = self._stack.features.extract([pixels])[0]
        masks = self._regions(pixels, tokens)
        dimension = tokens.shape[2]
        features = np.array([mask.feature for mask in masks], np.float32).reshape(-1, dimension)
        matches = self._matcher.match(features, categories)
        ids = above_background(matches.category_id, matches.similarity, self._background)
        areas = np.array([mask.area for mask in masks], dtype=np.int64)
        order = paint_order(ids, matches.score, areas)
        labels, covered = paint(
            (pixels.shape[0], pixels.shape[1]),
            ((decode_rle(masks[i].rle), int(ids[i])) for i in order),
        )
        return Segmentation(
            image=pixels,
            label_map=self._label_uncovered(labels, covered, tokens, categories),
            regions=self._describe(masks, matches, ids),
            category_names=self._names,
            bank_version=self._version,
        )

    def _regions(self, pixels: NDArray[np.uint8], tokens: NDArray[np.float32]) -> list[_Mask]:
        """Proposals, fused, at the photo's size; those without a feature are left out."""
        segmenter = self._stack.segmenter
        embedding = segmenter.embed(pixels)
        proposals = propose(segmenter, embedding, self._proposals)
        fused = fuse_masks(
            proposals.masks,
            threshold=self._proposals.fuse,
            max_fused_area=self._proposals.max_fused_area,
        )
        at_once = max(1, _PIXELS_AT_ONCE // (pixels.shape[0] * pixels.shape[1]))
        masks: list[_Mask] = []
        for start in range(0, len(fused), at_once):
            chunk = fused[start : start + at_once]
            masks.extend(_full_size(segmenter, embedding, proposals, chunk, tokens))
        return masks

    def _label_uncovered(
        self,
        labels: NDArray[np.int32],
        covered: NDArray[np.bool_],
        tokens: NDArray[np.float32],
        categories: Collection[int] | None,
    ) -> NDArray[np.int32]:
        """Pixels under no mask take the category that their patch token matches."""
        grid = (tokens.shape[0], tokens.shape[1])
        needed = uncovered_patches(covered, grid)
        if not needed.any():
            return labels
        length = np.linalg.norm(tokens[needed], axis=1, keepdims=True)
        features = tokens[needed] / np.maximum(length, np.finfo(np.float32).tiny)
        matches = self._matcher.match(features, categories)
        patches = np.full(grid, UNLABELLED, dtype=np.int32)
        patches[needed] = above_background(
            matches.category_id, matches.similarity, self._background
        )
        return fill_uncovered(labels, covered, patches)

    def _describe(
        self, masks: Sequence[_Mask], matches: Matches, ids: NDArray[np.int32]
    ) -> tuple[Region, ...]:
        accepted = np.flatnonzero(ids != UNLABELLED)
        by_score = accepted[np.argsort(-matches.score[accepted], kind="stable")]
        return tuple(
            Region(
                category=self._names[int(ids[i])],
                category_id=int(ids[i]),
                score=float(matches.score[i]),
                similarity=float(matches.similarity[i]),
                area=masks[i].area,
                box=masks[i].box,
                rle=masks[i].rle,
                references=self._references(
                    matches.neighbour_id[i], matches.neighbour_similarity[i]
                ),
            )
            for i in by_score.tolist()
        )

    def _references(
        self, feature_ids: NDArray[np.int64], similarities: NDArray[np.float32]
    ) -> tuple[NearReference, ...]:
        known = feature_ids != NO_FEATURE
        image_ids, _ = unpack_feature_ids(feature_ids[known])
        category_ids = unpack_image_ids(image_ids).category_id
        return tuple(
            NearReference(int(image_id), self._names[int(category_id)], float(similarity))
            for image_id, category_id, similarity in zip(
                image_ids, category_ids, similarities[known], strict=True
            )
        )

    def _check_categories(self, categories: Collection[int] | None) -> None:
        if categories is None:
            return
        unknown = sorted(set(categories) - self._names.keys())
        if unknown or not categories:
            raise UsageError(
                f"expected category ids of the bank, found {unknown or 'none'};"
                f" it has {', '.join(f'{i} {name}' for i, name in self._names.items())}"
            )


def _as_pixels(image: str | Path | NDArray[np.uint8]) -> NDArray[np.uint8]:
    if isinstance(image, (str, Path)):
        return read_image(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"expected uint8 (H, W, 3) RGB, found {image.dtype} {image.shape}")
    return image


def _full_size(
    segmenter: Segmenter,
    embedding: ImageEmbedding,
    proposals: MaskProposals,
    fused: Sequence[FusedMask],
    tokens: NDArray[np.float32],
) -> list[_Mask]:
    """Masks at the photo's size with their features, pooled exactly as the bank's were."""
    logits = proposals.united_logits([region.members for region in fused])
    masks = segmenter.upsample(embedding, logits)
    features, valid = pool_regions(tokens, masks)
    return [
        _Mask(encode_rle(mask), int(np.count_nonzero(mask)), mask_box(mask), feature)
        for mask, feature in zip(masks[valid], features[valid], strict=True)
    ]
