"""Records in the JSON files of a bank: files, shards, categories, photos, models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from schemas.digests import sha256_file
from schemas.errors import BankDamaged
from schemas.ids import MAX_CATEGORY_ID, MAX_NUMBER, SOURCES
from schemas.lfs import LFS_HINT, is_lfs_pointer
from schemas.vocabulary import name_fault

SHARD_FORMAT_VERSION: Final = 1

# A name inside one folder: a bank from elsewhere cannot point outside itself.
FileName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=200)
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
CategoryId = Annotated[int, Field(ge=0, le=MAX_CATEGORY_ID)]
Number = Annotated[int, Field(ge=0, le=MAX_NUMBER + 1)]
Dimension = Annotated[int, Field(ge=1, le=1 << 16)]


def _check_name(name: str) -> str:
    fault = name_fault(name)
    if fault is not None:
        raise ValueError(f"expected a category's name, found {fault}")
    return name


Name = Annotated[str, AfterValidator(_check_name)]
"""A category's name: a bank from elsewhere can hold no other than a vocabulary can."""


def _check_source(source: str) -> str:
    if source not in SOURCES:
        raise ValueError(f"expected a source out of {', '.join(SOURCES)}")
    return source


Source = Annotated[str, AfterValidator(_check_source)]


class Record(BaseModel):
    """Base of everything that is written as JSON: frozen, no silent casts.

    Keys that this version does not know are preserved: a newer rim may write more. It
    sets a flag of the manifest for what an older one must not overlook.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)


class FileRecord(Record):
    """One file as it was written: its name in its folder, content and number of rows."""

    name: FileName
    sha256: Sha256
    size: Count
    rows: Count

    @classmethod
    def of(cls, path: Path, rows: int) -> FileRecord:
        """Describes a file that was just written."""
        return cls(name=path.name, sha256=sha256_file(path), size=path.stat().st_size, rows=rows)

    def verify(self, folder: Path, *, content: bool = True) -> Path:
        """Returns the file's path after checking its size and, if `content`, its SHA-256.

        Raises BankDamaged if the file is missing or differs from the record.
        """
        path = folder / self.name
        try:
            size = path.stat().st_size
            if size != self.size:
                found = LFS_HINT if is_lfs_pointer(path) else str(size)
                raise BankDamaged(f"{path}: expected {self.size} bytes, found {found}")
            if content and sha256_file(path) != self.sha256:
                raise BankDamaged(f"{path}: its content is not what was written (SHA-256 differs)")
        except OSError as error:
            raise BankDamaged(f"{path}: cannot be read ({error.strerror})") from error
        return path


class PhotoRecord(Record):
    """One photo of the user's that a reference is made from.

    file: relative to the folder of photos, with "/". sha256: of the file's content, None if it
    could not be read. mask_sha256: of the mask beside it, None if there is none.
    """

    file: str
    sha256: Sha256 | None
    mask_sha256: Sha256 | None = None


class CategoryPhotos(Record):
    """The photos of one category by the numbers of their images, from 0."""

    category_id: CategoryId
    photos: tuple[PhotoRecord, ...]


class ShardRecord(Record):
    """One finished shard: the content of its `shard.json`.

    It covers the images `start` to `stop` - 1 of one category from one source. `attempt` counts
    how often it was made again because images had failed. seconds: by stage. photos: what the
    images were made from, one an image; none if they were generated.
    """

    format_version: Literal[1] = SHARD_FORMAT_VERSION
    name: FileName
    build_hash: Sha256
    category_id: CategoryId
    category: Name
    source: Source
    start: Number
    stop: Number
    attempt: Count
    batch_size: Annotated[int, Field(ge=1)]
    device: str
    dimension: Dimension
    seconds: dict[str, float]
    photos: tuple[PhotoRecord, ...] = ()
    images: FileRecord
    pixels: FileRecord
    features: FileRecord

    @model_validator(mode="after")
    def _own_files(self) -> ShardRecord:
        for part in ("images", "pixels", "features"):
            if getattr(self, part).name != f"{part}.parquet":
                raise ValueError(f"expected the file {part}.parquet")
        if self.stop <= self.start:
            raise ValueError(f"expected images, found {self.start} to {self.stop}")
        return self

    @property
    def files(self) -> tuple[FileRecord, FileRecord, FileRecord]:
        """The shard's three Parquet files."""
        return self.images, self.pixels, self.features


class CategoryRecord(Record):
    """One category of a bank. Its id is never given to another one, also after it is removed."""

    category_id: CategoryId
    name: Name
    synonyms: tuple[Name, ...] = ()
    removed: bool = False


class ModelRecord(Record):
    """One model that made the bank: name, licence, and the SHA-256 over its files."""

    name: str
    licence: str
    fingerprint: str
