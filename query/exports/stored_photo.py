"""Stored results: a labelled photo without its pixels, to write any format without the models."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError

from foundation.images.masks import Rle, decode_rle, encode_rle, mask_box
from foundation.images.reading import MAX_FILE_BYTES
from query.result import LabelledPhoto, NearReference, Region
from schemas.digests import sha256_file
from schemas.errors import ImageError
from schemas.ids import UNLABELLED, unpack_image_id
from schemas.records import CategoryId, Count, Record, Sha256

PLACEHOLDER = "NAME"

Box = tuple[Count, Count, Count, Count]
_Side = Annotated[int, Field(ge=1)]


class _Part(Record):
    model_config = ConfigDict(extra="forbid")


class PhotoMark(_Part):
    """Identifies a photo file: size in bytes, time of its last change, digest of its content."""

    size: Count
    mtime_ns: int
    sha256: Sha256

    @classmethod
    def of(cls, photo: Path) -> PhotoMark | None:
        """Marks a file; None if it cannot be read as a photo."""
        try:
            status = os.stat(photo)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
                return None
            digest = sha256_file(photo)
        except OSError:
            return None
        return cls(size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=digest)

    def fits(self, photo: Path) -> bool:
        """Whether the file is still the same; its content is read only if its time has changed."""
        try:
            status = os.stat(photo)
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode) or status.st_size != self.size:
            return False
        if status.st_mtime_ns == self.mtime_ns:
            return True
        now = PhotoMark.of(photo)
        return now is not None and now.sha256 == self.sha256


class FileMark(_Part):
    """A file of the results as it was written: bytes, and time of the last change."""

    size: Count
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileMark | None:
        """Marks a file; None if there is none."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        return cls(size=status.st_size, mtime_ns=status.st_mtime_ns)


class StoredReference(_Part):
    """A reference behind a region; its category is in its image_id."""

    image_id: Count
    similarity: float


class StoredRegion(_Part):
    """A region as in `query.result.Region`. counts: its mask's COCO run lengths."""

    category_id: CategoryId
    score: float
    similarity: float
    area: Count
    box: Box
    counts: str
    references: tuple[StoredReference, ...]


class StoredLabel(_Part):
    """The pixels of one category in the label map. counts: their COCO run lengths."""

    category_id: CategoryId
    area: Count
    box: Box
    counts: str


class StoredPhoto(_Part):
    """A labelled photo without its pixels.

    labels: by ascending category_id; they do not overlap. files: the results that were written,
    by their path in the output folder with PLACEHOLDER for the photo's name, which need not be
    UTF-8.
    """

    format_version: Literal[1] = 1
    photo: PhotoMark
    height: _Side
    width: _Side
    regions: tuple[StoredRegion, ...]
    labels: tuple[StoredLabel, ...]
    files: dict[str, FileMark] = Field(default_factory=dict)

    @classmethod
    def of(cls, result: LabelledPhoto, photo: PhotoMark) -> StoredPhoto:
        """Stores a result; its files are added when they are written."""
        height, width = result.label_map.shape
        return cls(
            photo=photo,
            height=height,
            width=width,
            regions=tuple(_stored_region(region) for region in result.regions),
            labels=tuple(_stored_labels(result.label_map)),
        )

    def with_files(self, files: Mapping[str, FileMark]) -> StoredPhoto:
        """The same with other files."""
        return self.model_copy(update={"files": dict(files)})

    def rle(self, counts: str) -> Rle:
        """Run lengths of this photo with its size."""
        return Rle((self.height, self.width), counts)

    def known(self, names: Mapping[int, str]) -> bool:
        """Whether all of its category_ids, also those of references, are among these."""
        ids = {region.category_id for region in self.regions}
        ids.update(label.category_id for label in self.labels)
        image_ids = (near.image_id for one in self.regions for near in one.references)
        try:
            ids.update(unpack_image_id(image_id).category_id for image_id in image_ids)
        except ValueError:
            return False
        return ids <= names.keys()

    def label_map(self) -> NDArray[np.int32]:
        """(H, W) int32 category ids, -1 unlabelled; ImageError if the masks do not fit."""
        labels = np.full((self.height, self.width), UNLABELLED, np.int32)
        for one in self.labels:
            labels[decode_rle(self.rle(one.counts))] = one.category_id
        return labels

    def result(
        self, image: NDArray[np.uint8], names: Mapping[int, str], bank_version: int
    ) -> LabelledPhoto:
        """The result that was stored, together with the photo's pixels.

        Args:
            image: uint8 (H, W, 3), the photo.
            names: of the bank's categories, by category_id.
            bank_version: the version of the bank that was asked.

        Raises ImageError if the photo has another size.
        """
        if image.shape[:2] != (self.height, self.width):
            raise ImageError(
                f"expected a photo of {self.height} x {self.width}, as it was labelled, found"
                f" {image.shape[0]} x {image.shape[1]}"
            )
        regions = tuple(
            Region(
                category=names[one.category_id],
                category_id=one.category_id,
                score=one.score,
                similarity=one.similarity,
                area=one.area,
                box=one.box,
                mask=self.rle(one.counts),
                references=tuple(
                    NearReference(near.image_id, reference_category(near, names), near.similarity)
                    for near in one.references
                ),
            )
            for one in self.regions
        )
        return LabelledPhoto(image, self.label_map(), regions, names, bank_version)

    def to_bytes(self) -> bytes:
        """The content of its file: JSON in gzip, whose checksum finds damage."""
        return gzip.compress(self.model_dump_json().encode("utf-8"), mtime=0)

    @classmethod
    def read(cls, path: Path) -> StoredPhoto | None:
        """Reads a file; None if there is none, or one that is damaged or of another rim."""
        try:
            return cls.model_validate_json(gzip.decompress(path.read_bytes()))
        except (OSError, EOFError, zlib.error, ValidationError):
            return None


def reference_category(reference: StoredReference, names: Mapping[int, str]) -> str:
    """The name of the category that a reference was made for."""
    return names[unpack_image_id(reference.image_id).category_id]


def _stored_region(region: Region) -> StoredRegion:
    references = tuple(
        StoredReference(image_id=one.image_id, similarity=one.similarity)
        for one in region.references
    )
    return StoredRegion(
        category_id=region.category_id,
        score=region.score,
        similarity=region.similarity,
        area=region.area,
        box=region.box,
        counts=region.rle.counts,
        references=references,
    )


def _stored_labels(label_map: NDArray[np.int32]) -> list[StoredLabel]:
    stored = []
    for category_id in np.unique(label_map[label_map != UNLABELLED]).tolist():
        mask = label_map == category_id
        stored.append(
            StoredLabel(
                category_id=category_id,
                area=int(np.count_nonzero(mask)),
                box=mask_box(mask),
                counts=encode_rle(mask).counts,
            )
        )
    return stored
