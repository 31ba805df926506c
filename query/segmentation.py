"""Online stage: photo -> proposals -> regions -> features -> matches -> label map."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundation.interfaces import Stack
from foundation.weights.roles import PHOTO_ROLES
from query.classification import Classification, Namer
from query.cutting import cut_photo
from query.labelling import PhotoLabeller
from query.matchers.base import NO_FEATURE
from query.photo import PhotoRegion, SegmentedPhoto
from query.result import NearReference, Region, Segmentation
from query.text_evidence import TextEvidence
from schemas.errors import BankError, ImageError, MemoryShort, ModelError, UsageError
from schemas.ids import unpack_feature_ids, unpack_image_ids

if TYPE_CHECKING:
    from schemas.records import CategoryRecord
    from schemas.settings import Settings
    from schemas.store.bank import StoredBank

__all__ = ["NearReference", "QueryEngine", "Region", "Segmentation", "SegmentedPhoto"]


class QueryEngine:
    """Labels photos with a bank's categories.

    Attributes:
        categories: the bank's categories, without removed ones.
    """

    def __init__(self, bank: StoredBank, stack: Stack, settings: Settings | None = None) -> None:
        """Opens the bank's features and checks that the models are the bank's own.

        Args:
            bank: open for reading.
            stack: the models; only `segmenter` and `features` are needed, and `text_image` where
                text has a weight.
            settings: the sections `proposals` and `matching` count; by default the bank's own.

        Raises:
            ModelError: a model is missing, or not the one that the bank was made with.
            BankError: the bank has no reference, or its features were made at another size.
            BankDamaged: its files are not what was written.
        """
        _check_models(bank, stack)
        settings = bank.settings if settings is None else settings
        matching = settings.matching
        self.categories: tuple[CategoryRecord, ...] = bank.categories
        self._stack = stack
        self._proposals = settings.proposals
        namer = Namer(
            bank.features(),
            matching,
            prototypes=None if matching.matcher == "knn" else bank.prototypes(),
        )
        text = None
        if matching.text_weight > 0:

            def embed() -> TextEvidence:
                stack.activate("text_image")
                return TextEvidence(stack.text_image, bank.categories, settings.generation)

            text = stack.within_memory(embed)
        self._reads_text = text is not None
        self._labeller = PhotoLabeller(namer, matching, text)
        self._names = {record.category_id: record.name for record in bank.categories}
        self._version = bank.manifest.version

    def load(self, on_role: Callable[[str], None]) -> None:
        """Loads the models that photos are cut with; the first photo would.

        on_role: called with each role before its model is loaded.

        Raises ModelError for a model that cannot be loaded.
        """
        on_role("features")
        _ = self._stack.features
        on_role("segmenter")
        _ = self._stack.segmenter

    @property
    def threshold(self) -> float | None:
        """The cosine below which a region is none of the categories; None: never."""
        return self._labeller.namer.threshold

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
            ImageError: the file is no picture, the array has another shape or type, or the memory
                does not suffice for it.
            UsageError: no category is chosen, or one that the bank does not have.
            BankError: none of the chosen categories has a reference.
        """
        self._check_categories(categories)
        where = f"{image}: " if isinstance(image, str | Path) else ""
        try:
            return self.label(self.cut(image), categories=categories)
        except MemoryShort as error:
            raise ImageError(f"{where}{error}") from error

    def cut(self, image: str | Path | NDArray[np.uint8]) -> SegmentedPhoto:
        """Cut a photo into regions, those without a feature left out.

        Raises ImageError as `segment` does; MemoryShort if the memory does not suffice.
        """
        return cut_photo(image, self._stack, self._proposals)

    def label(
        self, photo: SegmentedPhoto, *, categories: Collection[int] | None = None
    ) -> Segmentation:
        """Label a photo that was cut into regions by an engine with the same `proposals`.

        Raises UsageError and BankError as `segment` does; MemoryShort if the memory does not
        suffice for CLIP.
        """
        self._check_categories(categories)

        def named() -> tuple[Classification, NDArray[np.int32]]:
            if self._reads_text:
                self._stack.activate("text_image")
            return self._labeller.label(photo, categories)

        naming, labels = self._stack.within_memory(named)
        return Segmentation(
            image=photo.pixels,
            label_map=labels,
            regions=self._describe(photo.regions, naming),
            category_names=self._names,
            bank_version=self._version,
        )

    def _describe(
        self, regions: Sequence[PhotoRegion], naming: Classification
    ) -> tuple[Region, ...]:
        ids, score = naming.category_id, naming.score
        accepted = np.flatnonzero(naming.known)
        by_score = accepted[np.argsort(-score[accepted], kind="stable")]
        return tuple(
            Region(
                category=self._names[int(ids[i])],
                category_id=int(ids[i]),
                score=float(score[i]),
                similarity=float(naming.similarity[i]),
                area=regions[i].mask.area,
                box=regions[i].mask.box,
                mask=regions[i].mask,
                references=self._references(naming.neighbour_id[i], naming.neighbour_similarity[i]),
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


def _check_models(bank: StoredBank, stack: Stack) -> None:
    """Checks that the models are the bank's own: features of different ones cannot be compared.

    Nothing in a bank is made by the text-image model, so it may be any, whether or not the bank
    has a record of one.

    Raises ModelError if the content of the segmenter or the feature model is another than when
    the bank was built, BankError if the stack makes features at another image size.
    """
    for role in PHOTO_ROLES:
        expected = bank.manifest.models.get(role)
        if expected is None:
            raise BankError(f"{bank.path}: expected a record of the model {role}, found none")
        found = stack.fingerprints((role,))[role].fingerprint
        if found != expected.fingerprint:
            raise ModelError(
                f"models.{role}: expected {expected.name} as the bank was built with"
                f" (fingerprint {expected.fingerprint[:12]}), found another in {stack.path(role)}"
                f" ({found[:12]}); choose the bank's preset, or build a bank with this one"
            )
    own, others = bank.settings.features.size, stack.settings.features.size
    if own != others:
        raise BankError(
            f"features.size: expected {own} as the bank was built with, found {others};"
            f" choose the bank's preset, or --set features.size={own}"
        )
