"""What a query needs of its models, and the check that they are the bank's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from foundation.weights.roles import PHOTO_ROLES
from schemas.errors import BankError, ModelError

if TYPE_CHECKING:
    import torch

    from foundation.segmenter import ImageEmbedding, MaskCandidates
    from query.text_similarity import TextImageScorer
    from schemas.records import ModelRecord
    from schemas.settings import Settings
    from schemas.store.bank import StoredBank

Result = TypeVar("Result")

ROLES_USED = PHOTO_ROLES


class Segmenter(Protocol):
    """The part of `foundation.segmenter.SamSegmenter` that a query uses."""

    def embed(self, image: NDArray[np.uint8]) -> ImageEmbedding:
        """Look at a photo (H, W, 3) once."""
        ...

    def predict(self, embedding: ImageEmbedding, points: NDArray[np.number]) -> MaskCandidates:
        """Three masks for each of P prompts (P, N, 2)."""
        ...

    def working_logits(
        self, embedding: ImageEmbedding, logits: torch.Tensor
    ) -> NDArray[np.float32]:
        """Logits (n, h, w) at the embedding's `working_size`."""
        ...


class PatchExtractor(Protocol):
    """The part of `foundation.patch_features.PatchFeatures` that a query uses."""

    def extract(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Patch tokens (gh, gw, d) of each image."""
        ...


class CuttingModels(Protocol):
    """What cuts a photo into regions."""

    @property
    def segmenter(self) -> Segmenter:
        """Makes masks of points."""
        ...

    @property
    def features(self) -> PatchExtractor:
        """Makes patch tokens."""
        ...

    def activate(self, role: str) -> None:
        """Says which model is used next, so that it can have the memory if that is short."""
        ...

    def within_memory(self, work: Callable[[], Result]) -> Result:
        """Runs work, again with less memory where it ran out; MemoryShort if nothing helps."""
        ...


class Stack(CuttingModels, Protocol):
    """The part of `foundation.stack.ModelStack` that a query uses."""

    @property
    def settings(self) -> Settings:
        """The settings that name the models."""
        ...

    @property
    def text_image(self) -> TextImageScorer:
        """Embeds texts and pictures; asked for only where text has a weight."""
        ...

    def path(self, role: str) -> Path:
        """Where a role's files are."""
        ...

    def fingerprints(self, roles: Sequence[str]) -> dict[str, ModelRecord]:
        """Name, licence and fingerprint of models, by role; ModelError if one is missing."""
        ...


def check_models(bank: StoredBank, stack: Stack) -> None:
    """Features of different models cannot be compared: all must be the bank's own.

    Nothing in a bank is made by the text-image model, so it may be any, whether or not the bank
    has a record of one.

    Raises ModelError if the content of the segmenter or the feature model is another than when
    the bank was built, BankError if the stack makes features at another image size.
    """
    for role in ROLES_USED:
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
