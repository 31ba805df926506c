"""The interfaces of the models: what a build and a query ask of them, and the data that travels.

`foundation.stack.ModelStack` has all of it; whatever else has these methods can take its place.
Importing this file loads no model library: planning a build, or refusing one, needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from schemas.records import ModelRecord
    from schemas.settings import Settings

Result = TypeVar("Result")


@dataclass(frozen=True)
class Prompt:
    """A prompt, and where in it the category's name stands: `text[start:stop]`."""

    text: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The category's name as the prompt has it."""
        return self.text[self.start : self.stop]


@dataclass(frozen=True)
class GeneratedImage:
    """One generated image.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        attention: float32 (h, w), the category's averaged attention probability, not scaled; its
            grid covers the image.
        flagged: the safety checker blacked the image out.
    """

    image: npt.NDArray[np.uint8]
    attention: npt.NDArray[np.float32]
    flagged: bool


@dataclass(frozen=True)
class ImageEmbedding:
    """An image as SAM's encoder left it: computed once, then used for every prompt.

    Attributes:
        features: (1, c, h, w) on SAM's device.
        original_size: (H, W) of the image.
        input_size: (height, width) it was scaled to, before SAM's square padding at the right and
            the bottom.
        logit_size: (height, width) of low-resolution logits that lie on the image, rounded up.
    """

    features: torch.Tensor
    original_size: tuple[int, int]
    input_size: tuple[int, int]
    logit_size: tuple[int, int]

    @property
    def working_size(self) -> tuple[int, int]:
        """(height, width) that holds all there is to know about masks at the image's size.

        SAM resizes logits twice, to what its encoder saw and from there to the image: the smaller
        of the two sizes. The aspect is kept, so that it is smaller on both sides.
        """
        height, width = self.original_size
        return min(height, self.input_size[0]), min(width, self.input_size[1])


@dataclass(frozen=True)
class MaskCandidates:
    """SAM's three masks (whole, part, subpart) for each of P prompts.

    Attributes:
        logits: float32 (P, 3, h, w) on SAM's device, above 0 = mask, at SAM's low resolution.
            (h, w) is the embedding's `logit_size`, plus one row or column where SAM padded the
            image, which `Segmenter.upsample` needs to interpolate up to the image's edge.
        predicted_iou: float32 (P, 3), SAM's own estimate of each mask's IoU with the truth.
    """

    logits: torch.Tensor
    predicted_iou: torch.Tensor


class TextToImage(Protocol):
    """Makes images of prompts, and knows where in them it put the category.

    See `foundation.text_to_image.DiffusersTextToImage`.
    """

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[GeneratedImage]:
        """One image a prompt, made as one batch; seeds has one entry a prompt, 0..2**63-1."""
        ...

    @property
    def steps(self) -> int:
        """Denoising steps of an image."""
        ...

    @property
    def calls(self) -> int:
        """How often the UNet is called for a batch; often not the number of steps."""
        ...

    def shortened(self, steps: int) -> TextToImage:
        """The same in so many steps, or in the fewest it can be done in, if these are more."""
        ...


class Segmenter(Protocol):
    """Makes masks for point prompts; see `foundation.sam.SamSegmenter`."""

    def embed(self, image: npt.NDArray[np.uint8]) -> ImageEmbedding:
        """Encodes an image, uint8 (H, W, 3) RGB, once for all prompts."""
        ...

    def predict(self, embedding: ImageEmbedding, points: npt.NDArray[np.number]) -> MaskCandidates:
        """Three candidates for each of P prompts of N points (x, y) in pixels: (P, N, 2)."""
        ...

    def upsample(self, embedding: ImageEmbedding, logits: torch.Tensor) -> npt.NDArray[np.bool_]:
        """Masks at the image's size, bool (n, H, W), of logits (n, h, w)."""
        ...

    def working_logits(
        self, embedding: ImageEmbedding, logits: torch.Tensor
    ) -> npt.NDArray[np.float32]:
        """Logits (n, h, w) at the embedding's `working_size`."""
        ...


class PatchExtractor(Protocol):
    """Makes patch tokens of images; see `foundation.patch_features.PatchFeatures`."""

    @property
    def dimension(self) -> int:
        """Length d of a token."""
        ...

    def extract(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        """float32 (gh, gw, d) for each image, uint8 (H, W, 3) RGB."""
        ...


class TextImageScorer(Protocol):
    """Embeds texts and images in one space; see `foundation.text_image.ClipScorer`."""

    def embed_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 (n, d), L2-normalised."""
        ...

    def embed_images(self, images: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """float32 (n, d), L2-normalised; of each image the square in the middle is seen."""
        ...


class Stack(Protocol):
    """The models that photos are labelled with. A model is loaded when it is first used."""

    @property
    def settings(self) -> Settings:
        """The settings that name the models."""
        ...

    @property
    def segmenter(self) -> Segmenter:
        """Makes masks of points; ModelError if it is missing."""
        ...

    @property
    def features(self) -> PatchExtractor:
        """Makes patch tokens; ModelError if it is missing."""
        ...

    @property
    def text_image(self) -> TextImageScorer:
        """Embeds texts and images, where text has a weight; ModelError if it is missing."""
        ...

    def activate(self, role: str) -> None:
        """Says which model is used next, so that it can have the memory if that is short."""
        ...

    def within_memory(self, work: Callable[[], Result]) -> Result:
        """Runs work, again with less memory where it ran out; MemoryShort if nothing helps."""
        ...

    def path(self, role: str) -> Path:
        """Where a role's files are; ModelError if they are missing."""
        ...

    def fingerprints(self, roles: Sequence[str]) -> dict[str, ModelRecord]:
        """Name, licence and fingerprint of models, by role; ModelError if one is missing."""
        ...


class BuildStack(Stack, Protocol):
    """The models of a build, and how they share their device's memory."""

    @property
    def device(self) -> torch.device:
        """Where they run."""
        ...

    @property
    def text_to_image(self) -> TextToImage:
        """Makes the reference images; ModelError if it is missing."""
        ...

    @property
    def works_ahead(self) -> bool:
        """Whether the next images may be made while the last ones are examined."""
        ...

    def load(
        self, roles: Sequence[str] = ..., on_role: Callable[[str], None] = lambda role: None
    ) -> None:
        """Loads models, so that one that cannot be is found before anything is written.

        Args:
            roles: those that the build uses; by default all of a build that generates images.
            on_role: called with each role before it is loaded.

        Raises:
            ModelError: a model is missing or cannot be loaded.
            SettingsError: a model cannot do what the settings ask for.
        """
        ...

    def batch_that_fits(
        self, most: int, roles: Sequence[str] = ..., image_size: tuple[int, int] | None = None
    ) -> int:
        """The largest batch of at most `most` images that can be made and examined, by trial.

        Args:
            most: at least 1.
            roles: of the models that are used.
            image_size: (height, width), by default that of generated images.

        Raises:
            MemoryShort: not even one image fits into the memory.
        """
        ...

    def can_take_less(self, batch: int) -> bool:
        """Whether work in batches of this size can go on with less memory than now."""
        ...

    def take_less(self, batch: int) -> int:
        """The batch to go on with when memory ran out at `batch`; MemoryShort if there is none."""
        ...
