"""Online stage: photo -> proposals -> regions -> features -> matches -> label map."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation.images.reading import encode_png, read_image
from foundation.interfaces import Stack
from foundation.weights.roles import PHOTO_ROLES
from query import exports
from query.classification import Classification, Classifier
from query.fuse import fuse_masks
from query.labelling import PhotoLabeller
from query.matchers.base import NO_FEATURE
from query.overlay import draw_overlay
from query.proposals import propose
from query.regions import PhotoRegion, SegmentedPhoto, find_regions
from query.result import LabelledPhoto, NearReference, Region
from query.text_similarity import TextSimilarity
from schemas.errors import BankError, ImageError, MemoryShort, ModelError, UsageError
from schemas.ids import UNLABELLED, unpack_feature_ids, unpack_image_ids

if TYPE_CHECKING:
    import supervision

    from schemas.records import CategoryRecord
    from schemas.settings import Proposals, Settings
    from schemas.store.bank import StoredBank

__all__ = ["NearReference", "QueryEngine", "Region", "Segmentation", "SegmentedPhoto", "cut_photo"]

SHOWN_SIDE = 1000
"""Pixels of the longer side of the overlay in a notebook."""


class Segmentation(LabelledPhoto):
    """A labelled photo, as `rim.query` returns it.

    Example:
        >>> result = rim.query("bank", "photo.png")
        >>> result.label_map.shape, [region.category for region in result.regions]
        >>> result.save("labels", "photo")

    Attributes:
        image: uint8 (H, W, 3), the photo.
        label_map: (H, W) int32, category_id of each pixel, -1 unlabelled.
        regions: by falling score; regions that were rejected as background are not among them,
            and pixels under no region may still have the label of their patch.
        category_names: name by category_id, of all the bank's categories.
        bank_version: the version of the bank that was asked.
    """

    def overlay(self) -> NDArray[np.uint8]:
        """The photo with its labels drawn over it, uint8 (H, W, 3)."""
        return draw_overlay(self.image, self.label_map, self.category_names)

    def save(
        self,
        folder: str | Path,
        name: str,
        formats: Sequence[str] = ("labels", "overlay", "json"),
        *,
        photo: str | Path | None = None,
    ) -> tuple[Path, ...]:
        """Writes NAME.labels.png, NAME.overlay.png and NAME.json into a folder, made if need be.

        Args:
            folder: of the results.
            name: NAME, without folders.
            formats: out of "labels", "overlay", "json", "palette" and "labelme".
            photo: the photo's own file, where LabelMe is to find it.

        Returns the files written; see `query.exports.save` for their content and the errors.
        """
        return exports.save(
            self, Path(folder), name, formats, None if photo is None else Path(photo)
        )

    def to_supervision(self) -> supervision.Detections:
        """The regions as `supervision.Detections`; see `query.exports.to_detections`.

        Raises UsageError if the library `supervision` is not installed.
        """
        return exports.to_detections(self)

    def __repr__(self) -> str:
        height, width = self.label_map.shape
        regions = f"{len(self.regions)} regions of {len({one.category_id for one in self.regions})}"
        unlabelled = np.count_nonzero(self.label_map == UNLABELLED) / max(1, self.label_map.size)
        return (
            f"Segmentation({width} x {height}, {regions} categories, {unlabelled:.0%} unlabelled)"
        )

    def _repr_png_(self) -> bytes:
        """The overlay, for a notebook, at most SHOWN_SIDE pixels long."""
        shown = Image.fromarray(self.overlay())
        shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        return encode_png(np.asarray(shown, dtype=np.uint8))


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
        classifier = Classifier(
            bank.features(),
            matching,
            prototypes=None if matching.matcher == "knn" else bank.prototypes(),
        )
        text = None
        if matching.text_weight > 0:

            def embed() -> TextSimilarity:
                stack.activate("text_image")
                return TextSimilarity(stack.text_image, bank.categories, settings.generation)

            text = stack.within_memory(embed)
        self._reads_text = text is not None
        self._labeller = PhotoLabeller(classifier, matching, text)
        self._names = {record.category_id: record.name for record in bank.categories}
        self._version = bank.manifest.version

    def load(self, on_role: Callable[[str], None]) -> None:
        """Loads the models that find regions, which the first photo would do otherwise.

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
        return self._labeller.classifier.threshold

    def segment(
        self,
        image: str | Path | NDArray[np.uint8],
        *,
        categories: Collection[int] | None = None,
    ) -> Segmentation:
        """Labels every pixel of a photo.

        Args:
            image: an image file, or uint8 (H, W, 3) RGB.
            categories: ids of the only categories to consider; None for all.

        Raises:
            ImageError: the file is no image, the array has another shape or type, or the memory
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
        """Divides a photo into regions; those without a feature are left out.

        Raises ImageError as `segment` does; MemoryShort if the memory does not suffice.
        """
        return cut_photo(image, self._stack, self._proposals)

    def label(
        self, photo: SegmentedPhoto, *, categories: Collection[int] | None = None
    ) -> Segmentation:
        """Labels a photo that was divided into regions by an engine with the same `proposals`.

        Raises UsageError and BankError as `segment` does; MemoryShort if the memory does not
        suffice for CLIP.
        """
        self._check_categories(categories)

        def label() -> tuple[Classification, NDArray[np.int32]]:
            if self._reads_text:
                self._stack.activate("text_image")
            return self._labeller.label(photo, categories)

        classification, label_map = self._stack.within_memory(label)
        return Segmentation(
            image=photo.pixels,
            label_map=label_map,
            regions=self._describe(photo.regions, classification),
            category_names=self._names,
            bank_version=self._version,
        )

    def _describe(
        self, regions: Sequence[PhotoRegion], classification: Classification
    ) -> tuple[Region, ...]:
        """The regions with a category, by falling score."""
        ids, score = classification.category_id, classification.score
        known = np.flatnonzero(classification.known)
        by_score = known[np.argsort(-score[known], kind="stable")]
        return tuple(
            Region(
                category=self._names[int(ids[i])],
                category_id=int(ids[i]),
                score=float(score[i]),
                similarity=float(classification.similarity[i]),
                area=regions[i].mask.area,
                box=regions[i].mask.box,
                mask=regions[i].mask,
                references=self._references(
                    classification.neighbour_id[i], classification.neighbour_similarity[i]
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


def cut_photo(
    image: str | Path | NDArray[np.uint8], models: Stack, settings: Proposals
) -> SegmentedPhoto:
    """Divides a photo into regions with features; those without a feature are left out.

    Args:
        image: an image file, or uint8 (H, W, 3) RGB.
        models: SAM and the feature model.
        settings: the section `proposals`.

    Raises ImageError if the file is no image, or the array has another shape or type; MemoryShort
    if the models' device has too little memory.
    """
    pixels = _as_pixels(image)
    return models.within_memory(lambda: _cut(pixels, models, settings))


def _cut(pixels: NDArray[np.uint8], models: Stack, settings: Proposals) -> SegmentedPhoto:
    models.activate("features")
    tokens = models.features.extract([pixels])[0]
    models.activate("segmenter")
    embedding = models.segmenter.embed(pixels)
    proposals = propose(models.segmenter, embedding, settings)
    groups = fuse_masks(
        proposals.masks, threshold=settings.fuse, max_fused_area=settings.max_fused_area
    )
    logits = proposals.united_logits(groups)
    return find_regions(logits, models.segmenter, embedding, pixels, tokens)


def _as_pixels(image: str | Path | NDArray[np.uint8]) -> NDArray[np.uint8]:
    if isinstance(image, (str, Path)):
        return read_image(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"expected uint8 (H, W, 3) RGB, found {image.dtype} {image.shape}")
    return image
