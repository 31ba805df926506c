"""What a build needs of a source of reference images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bank_builder.output_folder import Existing
from foundation.interfaces import BuildStack
from schemas.manifest import BuildPlan
from schemas.records import CategoryPhotos, CategoryRecord, PhotoRecord
from schemas.settings import Settings
from schemas.store.shards import ShardSpec
from schemas.vocabulary import Vocabulary


@dataclass(frozen=True)
class Origin:
    """Which reference image, and what it is made from.

    prompt, seed: None if it is not generated. file: the photo, relative to the folder of photos;
    None if it is no photo.
    """

    category_id: int
    category: str
    number: int
    source: str
    prompt: str | None = None
    seed: int | None = None
    file: str | None = None


@dataclass(frozen=True)
class SourceImage:
    """An image before segmentation, and what its source knows about where the category is.

    pixels: uint8 (H, W, 3) RGB. mask: bool (H, W), True = the category, drawn by a person; None if
    there is none. attention: float32 (h, w), the category's cross-attention, not scaled; its grid
    covers the image; None if the image was not generated. flagged: the safety checker blacked the
    image out.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None
    attention: NDArray[np.float32] | None = None
    flagged: bool = False


Made = tuple[Origin, SourceImage | Exception]
"""One image, or why it could not be made."""


@dataclass(frozen=True)
class TimedImage:
    """An image to time the other stages on, for an estimate of the whole build.

    seconds: to make one image. segmented: the share of all images that SAM has to segment.
    """

    image: SourceImage
    seconds: float
    segmented: float = 1.0


class PlannedImages(Protocol):
    """The images of one build, all from one source; each is made when it is asked for."""

    @property
    def source(self) -> str:
        """Its name, out of `schemas.ids.SOURCES`."""
        ...

    @property
    def stage(self) -> str:
        """The name of making an image among the stages of a build ("generate")."""
        ...

    @property
    def doing(self) -> str:
        """The same for a reason ("generating failed: ...")."""
        ...

    @property
    def roles(self) -> tuple[str, ...]:
        """The models that must be there, and be those that made the bank."""
        ...

    def count(self, category: CategoryRecord) -> int:
        """Number of images of a category: they are numbered 0 to count - 1."""
        ...

    def build_hash(self, category_id: int, start: int, stop: int) -> str:
        """SHA-256 over what determines the bytes of the shard of the numbers start to stop - 1."""
        ...

    def photos(self, spec: ShardSpec) -> tuple[PhotoRecord, ...]:
        """The photos that the images of a shard are made from; () if they are generated."""
        ...

    def gone(self, spec: ShardSpec) -> list[str]:
        """The files of a shard's photos that are no longer there."""
        ...

    def batch_size(self, models: BuildStack) -> int:
        """Number of images to make and segment together; may try what the memory suffices for.

        Raises ModelError if it does not suffice for one.
        """
        ...

    def make(
        self, spec: ShardSpec, numbers: Sequence[int], models: BuildStack, *, divisible: bool
    ) -> list[Made]:
        """Some of a shard's images, in the order of their numbers.

        divisible: whether less memory can be tried; then BatchTooLarge may be raised.
        """
        ...

    def time_one(self, category: str, models: BuildStack) -> TimedImage | None:
        """Makes an image and takes the time, with fewer steps if they are all alike; None if none
        can be made.
        """
        ...

    def pixel_count(self) -> int:
        """About how many pixels an image has; asks no model."""
        ...


class Source(Protocol):
    """Where the images of a build come from; the same for whatever bank it writes into."""

    @property
    def name(self) -> Literal["diffusion", "folder"]:
        """Its name, out of `schemas.ids.SOURCES`."""
        ...

    @property
    def generates(self) -> bool:
        """Whether the settings of generation, and K, determine its images."""
        ...

    def check(self, vocabulary: Vocabulary, settings: Settings, existing: Existing) -> None:
        """Refuses categories that the source has no images for; UsageError."""
        ...

    def numbered(
        self, records: Sequence[CategoryRecord], existing: Existing
    ) -> tuple[CategoryPhotos, ...]:
        """The photos of every category, by number; () if there are none to number.

        Raises BankError for photos that are not those the bank was made from.
        """
        ...

    def images(self, plan: BuildPlan, settings: Settings) -> PlannedImages:
        """The images of a plan."""
        ...
