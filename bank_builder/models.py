"""What a build needs of its models; `foundation.stack.ModelStack` has all of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from foundation.weights.roles import BUILD_ROLES
from schemas.records import ModelRecord

# Planning a build, or refusing one, needs no model library.
if TYPE_CHECKING:
    import torch

    from foundation.segmenter import ImageEmbedding, MaskCandidates
    from foundation.text_to_image import TextToImage

logger = logging.getLogger(__name__)


class PromptableSegmenter(Protocol):
    """Masks for point prompts; see `foundation.segmenter.SamSegmenter`."""

    def embed(self, image: NDArray[np.uint8]) -> ImageEmbedding:
        """Looks at an image, uint8 (H, W, 3), once for all prompts."""
        ...

    def predict(self, embedding: ImageEmbedding, points: NDArray[np.float32]) -> MaskCandidates:
        """Three candidates for each of P prompts of N points (x, y), float32 (P, N, 2)."""
        ...

    def upsample(self, embedding: ImageEmbedding, logits: torch.Tensor) -> NDArray[np.bool_]:
        """Masks at the image's size, bool (n, H, W), of logits (n, h, w)."""
        ...


class PatchExtractor(Protocol):
    """Patch tokens of images; see `foundation.patch_features.PatchFeatures`."""

    @property
    def dimension(self) -> int:
        """Length d of a token."""
        ...

    def extract(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """float32 (gh, gw, d) for each image, uint8 (H, W, 3)."""
        ...


class BuildModels(Protocol):
    """The models of a build. A model is loaded when it is first asked for."""

    @property
    def device(self) -> torch.device:
        """Where they run."""
        ...

    @property
    def text_to_image(self) -> TextToImage:
        """Makes the reference images; ModelError if it is missing."""
        ...

    @property
    def segmenter(self) -> PromptableSegmenter:
        """Makes their masks; ModelError if it is missing."""
        ...

    @property
    def features(self) -> PatchExtractor:
        """Makes their patch tokens; ModelError if it is missing."""
        ...

    @property
    def works_ahead(self) -> bool:
        """Whether the next pictures may be made while the last ones are looked at."""
        ...

    def batch_that_fits(
        self, most: int, roles: Sequence[str] = ..., image_size: tuple[int, int] | None = None
    ) -> int:
        """The largest batch of at most `most` images that can be made and examined by trial.

        roles: of the models that are used. image_size: (height, width), by default that of
        generated images. ModelError if not even one image fits into the memory.
        """
        ...

    def can_take_less(self, batch: int) -> bool:
        """Whether work in batches of this size can go on with less memory than now."""
        ...

    def take_less(self, batch: int) -> int:
        """The batch to go on with when memory ran out at `batch`; ModelError if there is none."""
        ...

    def activate(self, role: str) -> None:
        """Says which model is needed next, so that it can have the memory if that is short."""
        ...

    def fingerprints(self, roles: Sequence[str]) -> dict[str, ModelRecord]:
        """Name, licence and fingerprint of models, by role; ModelError if one is missing."""
        ...


def load_models(
    models: BuildModels,
    roles: Sequence[str] = BUILD_ROLES,
    on_role: Callable[[str], None] = lambda role: None,
) -> None:
    """Loads what a build uses, so that a model that cannot be is found before anything is written.

    roles: those that the build has use of. on_role: called with each before it is loaded.

    Raises:
        ModelError: a model is missing or cannot be loaded.
        SettingsError: a model cannot do what the settings ask for.
    """
    for role in roles:
        on_role(role)
        logger.debug("loaded %s", type(getattr(models, role)).__name__)
