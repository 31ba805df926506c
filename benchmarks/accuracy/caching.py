"""Models that remember the results of their last image.

Rows of the ablation that differ in what is done with an image (other prompt points, fused regions)
share SAM's embedding and the patch tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from foundation.interfaces import (
    ImageEmbedding,
    MaskCandidates,
    PatchExtractor,
    Result,
    TextImageScorer,
)
from foundation.sam import SamSegmenter
from foundation.stack import ModelStack
from schemas.records import ModelRecord
from schemas.settings import Settings

Image = NDArray[np.uint8]


class CachingSegmenter:
    """A segmenter that remembers the embedding and the masks of the last image."""

    def __init__(self, segmenter: SamSegmenter) -> None:
        self._segmenter = segmenter
        self._last: tuple[Image, ImageEmbedding] | None = None
        self._answers: dict[bytes, MaskCandidates] = {}

    def embed(self, image: Image) -> ImageEmbedding:
        """See `SamSegmenter.embed`."""
        if self._last is None or not np.array_equal(image, self._last[0]):
            self._last = image.copy(), self._segmenter.embed(image)
            self._answers = {}
        return self._last[1]

    def predict(self, embedding: ImageEmbedding, points: NDArray[np.number]) -> MaskCandidates:
        """See `SamSegmenter.predict`."""
        if self._last is None or embedding is not self._last[1]:
            return self._segmenter.predict(embedding, points)
        prompts = points.astype(np.float64)
        key = repr(prompts.shape).encode() + prompts.tobytes()
        if key not in self._answers:
            self._answers[key] = self._segmenter.predict(embedding, points)
        return self._answers[key]

    def upsample(self, embedding: ImageEmbedding, logits: torch.Tensor) -> NDArray[np.bool_]:
        """See `SamSegmenter.upsample`."""
        return self._segmenter.upsample(embedding, logits)

    def working_logits(
        self, embedding: ImageEmbedding, logits: torch.Tensor
    ) -> NDArray[np.float32]:
        """See `SamSegmenter.working_logits`."""
        return self._segmenter.working_logits(embedding, logits)


class CachingExtractor:
    """A feature model that remembers the tokens of the last image that was alone in its call."""

    def __init__(self, extractor: PatchExtractor) -> None:
        self._extractor = extractor
        self._last: tuple[Image, NDArray[np.float32]] | None = None

    @property
    def dimension(self) -> int:
        """See `PatchFeatures.dimension`."""
        return self._extractor.dimension

    def extract(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """See `PatchFeatures.extract`."""
        if len(images) != 1:
            return self._extractor.extract(images)
        if self._last is None or not np.array_equal(images[0], self._last[0]):
            self._last = images[0].copy(), self._extractor.extract(images)[0]
        return [self._last[1]]


class CachingScorer:
    """A scorer of texts and images that remembers the embedding of every image."""

    def __init__(self, scorer: TextImageScorer) -> None:
        self._scorer = scorer
        self._known: dict[bytes, NDArray[np.float32]] = {}

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `ClipScorer.embed_texts`."""
        return self._scorer.embed_texts(texts)

    def embed_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """See `ClipScorer.embed_images`."""
        if not images:
            return self._scorer.embed_images(images)
        keys = [_digest(image) for image in images]
        pairs = zip(keys, images, strict=True)
        new = {key: image for key, image in pairs if key not in self._known}
        if new:
            embedded = self._scorer.embed_images(list(new.values()))
            self._known.update(zip(new, embedded, strict=True))
        return np.stack([self._known[key] for key in keys])


class CachingStack:
    """The models of a stack that a query uses, each with a memory."""

    def __init__(self, stack: ModelStack) -> None:
        self._stack = stack

    @property
    def settings(self) -> Settings:
        return self._stack.settings

    @cached_property
    def segmenter(self) -> CachingSegmenter:
        return CachingSegmenter(self._stack.segmenter)

    @cached_property
    def features(self) -> CachingExtractor:
        return CachingExtractor(self._stack.features)

    @cached_property
    def text_image(self) -> CachingScorer:
        return CachingScorer(self._stack.text_image)

    def activate(self, role: str) -> None:
        """Tells the stack which model is used next."""
        self._stack.activate(role)

    def within_memory(self, work: Callable[[], Result]) -> Result:
        """Runs work with as much memory as there is."""
        return self._stack.within_memory(work)

    def path(self, role: str) -> Path:
        """The path of a role's files."""
        return self._stack.path(role)

    def fingerprints(self, roles: Sequence[str]) -> dict[str, ModelRecord]:
        """Returns the records of those files."""
        return self._stack.fingerprints(roles)


def _digest(image: Image) -> bytes:
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
