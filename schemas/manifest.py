"""The manifest of a version of a bank, and the plan of an unfinished build.

`schemas.store.manifests` reads and writes both; `FORMAT.md` beside this file specifies them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from schemas.ids import MAX_NUMBER
from schemas.records import (
    CategoryPhotos,
    CategoryRecord,
    Count,
    Dimension,
    FileRecord,
    ModelRecord,
    Record,
    Sha256,
    ShardRecord,
)

FORMAT: Final = "rim-bank"
FORMAT_VERSION: Final = 1
READER_FLAGS: Final[frozenset[str]] = frozenset()
"""Format features that this rim can read; a bank that asks for others is refused."""
WRITER_FLAGS: Final[frozenset[str]] = frozenset()
"""Format features that a program must know to add a version."""


class Manifest(Record):
    """One version of a bank.

    reader_flags, writer_flags: features of the format that a reader, or who adds a version, must
    know of. created: ISO 8601, UTC. settings: of `schemas.settings.Settings`, as JSON. dimension:
    length of the embeddings. index, prototypes: derived from the shards and replaceable; None if
    the version has none. feature_rows: SHA-256 over the feature_ids of all accepted features in
    the order of the index's rows, which the index and the shards must agree on. seconds: by stage,
    of the build that made this version.
    """

    format: Literal["rim-bank"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    reader_flags: tuple[str, ...] = ()
    writer_flags: tuple[str, ...] = ()
    version: Annotated[int, Field(ge=1)]
    created: str
    settings: dict[str, Any]
    build_hash: Sha256
    vocabulary: tuple[CategoryRecord, ...]
    background: bool
    next_category_id: Count
    dimension: Dimension
    images_per_category: Annotated[int, Field(ge=1, le=MAX_NUMBER + 1)]
    shards: tuple[ShardRecord, ...]
    index: FileRecord | None = None
    prototypes: FileRecord | None = None
    feature_rows: Sha256 | None = None
    verdicts: FileRecord | None = None
    models: dict[str, ModelRecord]
    libraries: dict[str, str]
    seconds: dict[str, float]
    digest: str = ""


class BuildPlan(Record):
    """The plan of a build: what it makes.

    settings: of `schemas.settings.Settings`, as JSON. vocabulary: with the ids that were assigned.
    source: where its images come from. photos: of a folder of photos, with the numbers that were
    assigned. fingerprints: of the models that it was begun with, by role.
    """

    model_config = ConfigDict(extra="forbid")

    format_version: Literal[1] = 1
    settings: dict[str, Any]
    build_hash: Sha256
    vocabulary: tuple[CategoryRecord, ...]
    background: bool
    next_category_id: Count
    images_per_category: Annotated[int, Field(ge=1)]
    source: Literal["diffusion", "folder"] = "diffusion"
    photos: tuple[CategoryPhotos, ...] = ()
    fingerprints: dict[str, str] = Field(default_factory=dict)
