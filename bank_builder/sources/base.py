"""What a build needs of a source of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bank_builder.output_folder import Existing
from bank_builder.source_image import Origin, SourceImage
from foundation.interfaces import BuildStack
from schemas.records import CategoryPhotos, CategoryRecord, PhotoRecord
from schemas.settings import Settings
from schemas.store.progress_file import BuildPlan
from schemas.store.shards import ShardSpec
from schemas.vocabulary import Vocabulary

Made = tuple[Origin, SourceImage | Exception]
"""One picture, or why it could not be made."""


@dataclass(frozen=True)
class Trial:
    """A picture to time the rest of the work on, and what is known of the others by it.

    seconds: to make one picture. segmented: the share of all pictures that SAM has to look at.
    """

    picture: SourceImage
    seconds: float
    segmented: float = 1.0


class SourceImages(Protocol):
    """The pictures of one build, all from one source; each is made when it is asked for."""

    @property
    def source(self) -> str:
        """Its name, out of `schemas.ids.SOURCES`."""
        ...

    @property
    def stage(self) -> str:
        """What making a picture is called among the stages of a build ("generate")."""
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
        """How many there are of a category: the numbers 0 to count - 1."""
        ...

    def build_hash(self, category_id: int, start: int, stop: int) -> str:
        """SHA-256 over what determines the bytes of the shard of the numbers start to stop - 1."""
        ...

    def photos(self, spec: ShardSpec) -> tuple[PhotoRecord, ...]:
        """What the pictures of a shard are made from, one each; () if they are generated."""
        ...

    def gone(self, spec: ShardSpec) -> list[str]:
        """The photos of a shard that are no longer there."""
        ...

    def batch_size(self, models: BuildStack) -> int:
        """How many pictures to make and look at together; may try what the memory suffices for.

        Raises ModelError if it does not suffice for one.
        """
        ...

    def make(
        self, spec: ShardSpec, numbers: Sequence[int], models: BuildStack, *, divisible: bool
    ) -> list[Made]:
        """Some of a shard's pictures, in the order of their numbers.

        divisible: whether less memory can be tried; then BatchTooLarge may be raised.
        """
        ...

    def trial(self, category: str, models: BuildStack) -> Trial | None:
        """Makes a picture, with fewer steps if they are all alike; None if none can be made."""
        ...

    def pixels(self) -> int:
        """About how many pixels a picture has; asks no model."""
        ...


class Source(Protocol):
    """Where the pictures of a build come from; the same for whatever bank it writes into."""

    @property
    def name(self) -> Literal["diffusion", "folder"]:
        """Its name, out of `schemas.ids.SOURCES`."""
        ...

    @property
    def generates(self) -> bool:
        """Whether the settings of generation, and K, say what it gives."""
        ...

    def check(self, vocabulary: Vocabulary, settings: Settings, existing: Existing) -> None:
        """Refuses what the source has no pictures for; UsageError."""
        ...

    def numbered(
        self, records: Sequence[CategoryRecord], existing: Existing, out: Path
    ) -> tuple[CategoryPhotos, ...]:
        """The photos of every category, by number; () if there are none to number.

        Raises BankError for photos that are not those the bank was made from.
        """
        ...

    def pictures(self, plan: BuildPlan, settings: Settings) -> SourceImages:
        """The pictures of a plan."""
        ...
