"""What the bank's JSON files say about their parts: files, shards, categories, models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from schemas.errors import BankDamaged
from schemas.files import sha256_file

SHARD_FORMAT_VERSION: Final = 1

# A name inside one folder: a bank that somebody else made cannot point outside itself.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """Base of everything that is written as JSON: frozen, no unknown keys, no silent casts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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
        """The file's path, once its size and (if `content`) its SHA-256 are the recorded ones.

        Raises BankDamaged if the file is missing or another.
        """
        path = folder / self.name
        try:
            size = path.stat().st_size
            if size != self.size:
                raise BankDamaged(f"{path}: expected {self.size} bytes, found {size}")
            if content and sha256_file(path) != self.sha256:
                raise BankDamaged(f"{path}: its content is not what was written (SHA-256 differs)")
        except OSError as error:
            raise BankDamaged(f"{path}: cannot be read ({error.strerror})") from error
        return path


class PhotoRecord(Record):
    """One photo that a reference is made from.

    file: relative to the folder of photos, with "/". sha256: of the file's content, None if it
    could not be read. mask_sha256: of the mask beside it, None if there is none.
    """

    file: str
    sha256: Sha256 | None
    mask_sha256: Sha256 | None = None


class CategoryPhotos(Record):
    """The photos of one category by the numbers of their images, from 0."""

    category_id: Count
    photos: tuple[PhotoRecord, ...]


class ShardRecord(Record):
    """One finished shard: the content of its `shard.json`.

    It covers the images `start` to `stop` - 1 of one category from one source. `attempt` counts
    how often it was made anew because images had failed. seconds: by stage. photos: what the images
    were made from, one an image; none if they were generated.
    """

    format_version: Literal[1] = SHARD_FORMAT_VERSION
    name: FileName
    build_hash: Sha256
    category_id: Count
    category: str
    source: str
    start: Count
    stop: Count
    attempt: Count
    batch_size: Annotated[int, Field(ge=1)]
    device: str
    dimension: Annotated[int, Field(ge=1)]
    seconds: dict[str, float]
    photos: tuple[PhotoRecord, ...] = ()
    images: FileRecord
    pixels: FileRecord
    features: FileRecord

    @property
    def files(self) -> tuple[FileRecord, FileRecord, FileRecord]:
        """The shard's three Parquet files."""
        return self.images, self.pixels, self.features


class CategoryRecord(Record):
    """One category of a bank. Its id is never given to another one, also after it is removed."""

    category_id: Count
    name: str
    synonyms: tuple[str, ...] = ()
    removed: bool = False


class ModelRecord(Record):
    """One model that made the bank: name, licence, and the SHA-256 over its files."""

    name: str
    licence: str
    fingerprint: str
