"""StoredBank: one version of a bank on disk, open for reading."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from schemas.errors import BankDamaged, BankError, SettingsError
from schemas.ids import pack_image_id, unpack_feature_ids, unpack_image_id, unpack_image_ids
from schemas.manifest import Manifest
from schemas.records import CategoryRecord, FileRecord, ShardRecord
from schemas.settings import Settings
from schemas.store.feature_rows import FeatureRows
from schemas.store.index import FeatureIndex
from schemas.store.manifests import read_manifest
from schemas.store.parquet import read_table
from schemas.store.prototypes import Prototypes, prototypes_dataset, read_prototypes
from schemas.store.shards import Part, dataset, shard_folder
from schemas.store.verdicts import (
    Verdict,
    apply_verdicts,
    effective_verdicts,
    read_verdicts,
    verdicts_folder,
    verdicts_table,
)
from schemas.tables import IMAGES
from schemas.text import shortened
from schemas.validation import validate

_REPAIR: Final = "run: rim verify --repair"


@dataclass(frozen=True)
class BankFeatures:
    """The features of a bank's accepted images: foregrounds, then backgrounds, each ascending.

    embeddings: float32 (n, d), L2-normalised, read-only. feature_id, image_id: int64 (n,).
    category_id: int32 (n,). role: int8 (n,), foreground 0, background 1.
    """

    embeddings: npt.NDArray[np.float32]
    feature_id: npt.NDArray[np.int64]
    image_id: npt.NDArray[np.int64]
    category_id: npt.NDArray[np.int32]
    role: npt.NDArray[np.int8]


@dataclass(frozen=True)
class BankDatasets:
    """A bank's Parquet files as Arrow datasets, and the verdicts that count, one an image.

    The columns are those of `schemas.tables`; status and reason of `images` are the shards' own.
    `verdicts` has the columns image_id, status, reason, by; `prototypes` those of
    `schemas.store.prototypes`, without rows in a bank that has none.
    """

    images: ds.Dataset
    pixels: ds.Dataset
    features: ds.Dataset
    prototypes: ds.Dataset
    verdicts: pa.Table


def index_folder(bank: Path) -> Path:
    """Where a bank's indexes and prototypes are."""
    return bank / "index"


class StoredBank:
    """One version of a bank, by default the latest. Categories that were removed do not show.

    Opening reads the manifest and looks at the sizes of the files that it names. Everything else is
    read when asked for; a file's SHA-256 is compared when it is first used, so questions about
    facts never read pixels. A version stays as it is while a writer commits the next one. Methods
    raise BankDamaged, naming the file, where bytes are not the ones that were written.
    """

    def __init__(
        self, path: Path | str, version: int | None = None, *, check_sizes: bool = True
    ) -> None:
        """Opens the latest version, or another one.

        check_sizes: False only to repair a damaged bank.

        Raises BankError if the folder is no bank, BankDamaged if its manifest is damaged, or if
        files are missing or of another size.
        """
        self.path = Path(path)
        self.manifest: Manifest = read_manifest(self.path, version)
        self._checked: set[Path] = set()
        if check_sizes:
            self._check_sizes()

    @classmethod
    def open(cls, path: Path | str, version: int | None = None) -> StoredBank:
        """Opens the bank, as StoredBank(path, version) does."""
        return cls(path, version)

    @property
    def version(self) -> int:
        """Which of the bank's versions this is."""
        return self.manifest.version

    @cached_property
    def settings(self) -> Settings:
        """The settings that the bank was made with."""
        try:
            return validate(Settings, self.manifest.settings, "the bank's settings")
        except SettingsError as error:
            raise BankError(
                f"{self.path}: {error}; was the bank made by another version of rim?"
            ) from error

    @cached_property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The categories that were not removed, by ascending category_id."""
        active = (record for record in self.manifest.vocabulary if not record.removed)
        return tuple(sorted(active, key=lambda record: record.category_id))

    @cached_property
    def shards(self) -> tuple[ShardRecord, ...]:
        """The shards of those categories, in the order of their images' ids."""
        active = {record.category_id for record in self.categories}
        shards = (shard for shard in self.manifest.shards if shard.category_id in active)
        return tuple(sorted(shards, key=_first_image))

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts of this version, automatic ones and reviews."""
        record = self.manifest.verdicts
        if record is None:
            return ()
        return tuple(read_verdicts(verdicts_folder(self.path) / record.name, record))

    def check_file(self, folder: Path, record: FileRecord) -> Path:
        """The path of a file of this version, whose SHA-256 is compared once; BankDamaged."""
        path = folder / record.name
        if path not in self._checked:
            try:
                record.verify(folder)
            except BankDamaged as error:
                raise BankDamaged(f"{error}; {_REPAIR}") from error
            self._checked.add(path)
        return path

    def check_part(self, part: Literal["images", "features", "prototypes"]) -> None:
        """Compares the SHA-256 of all files of a kind, each once; BankDamaged names the first."""
        if part != "prototypes":
            for shard in self.shards:
                self._part(shard, part)
        elif self.manifest.prototypes is not None:
            self.check_file(index_folder(self.path), self.manifest.prototypes)

    def images_table(
        self, columns: Sequence[str] | None = None, category_id: int | None = None
    ) -> pa.Table:
        """The facts of all images by ascending image_id, with verdicts applied.

        columns: names out of `schemas.tables.IMAGES`, by default all. category_id: only the images
        of this category, whose shards alone are read.
        """
        wanted = IMAGES.names if columns is None else list(columns)
        needed = list(dict.fromkeys([*wanted, "image_id", "status", "reason"]))
        schema = pa.schema([IMAGES.field(name) for name in needed])
        shards = (one for one in self.shards if category_id in (None, one.category_id))
        paths = [self._part(shard, "images") for shard in shards]
        tables = [read_table(path, needed, schema=schema) for path in paths]
        table = pa.concat_tables([schema.empty_table(), *(one.select(needed) for one in tables)])
        return apply_verdicts(table, effective_verdicts(self.verdicts)).select(wanted)

    def features(self) -> BankFeatures:
        """The features of all accepted images; opened once, then cached.

        They are mapped from the index, so they take no memory of their own. Of a bank without an
        index, or one whose manifest does not say which features it holds, they are read out of the
        shards. Raises BankDamaged as `index` does.
        """
        return self._features

    def feature_rows(self) -> FeatureRows:
        """Which features `features()` has, out of the shards, which are the truth; not cached."""
        self.check_part("images")
        self.check_part("features")
        verdicts = effective_verdicts(self.verdicts)
        return FeatureRows.accepted(self.path, self.shards, verdicts, self.manifest.dimension)

    def index(self) -> FeatureIndex:
        """The FAISS index over `features()`; opened once, then cached.

        Raises BankDamaged if it is missing or not the one that was written; it can be made again.
        """
        return self._index

    def prototypes(self) -> Prototypes | None:
        """The stored prototypes of `features()`; read once, then cached. None if the bank has none.

        Raises BankDamaged if they are missing or not the ones that were written: they can be
        derived from `features()` again.
        """
        return self._prototypes

    def png(self, image_ids: Iterable[int]) -> dict[int, bytes]:
        """The PNG files of the images, by image_id; without those of which there is none.

        Raises BankError for an image_id that is not in the bank.
        """
        return self._pixels(image_ids, "png")

    def attention_png(self, image_ids: Iterable[int]) -> dict[int, bytes]:
        """The attention maps as PNG files, by image_id; without those of which there is none.

        Raises BankError for an image_id that is not in the bank.
        """
        return self._pixels(image_ids, "attention")

    def datasets(self) -> BankDatasets:
        """The bank as Arrow datasets, for SQL; pages are checked as they are read."""
        dimension = self.manifest.dimension
        verdicts = effective_verdicts(self.verdicts).values()
        return BankDatasets(
            images=dataset(self.path, self.shards, "images", dimension),
            pixels=dataset(self.path, self.shards, "pixels", dimension),
            features=dataset(self.path, self.shards, "features", dimension),
            prototypes=prototypes_dataset(
                index_folder(self.path), self.manifest.prototypes, dimension
            ),
            verdicts=verdicts_table(verdicts),
        )

    @cached_property
    def _features(self) -> BankFeatures:
        if self.manifest.index is not None and self.manifest.feature_rows is not None:
            embeddings, feature_id = self._index.embeddings, self._index.feature_ids
        else:
            rows = self.feature_rows()
            none = np.empty((0, self.manifest.dimension), np.float32)
            embeddings, feature_id = np.concatenate([none, *rows.blocks()]), rows.feature_id
        try:
            image_id, role = unpack_feature_ids(feature_id)
            category_id = unpack_image_ids(image_id).category_id
        except ValueError as error:
            raise BankDamaged(f"{self.path}: its features have impossible ids: {error}") from error
        return BankFeatures(embeddings, feature_id, image_id, category_id, role)

    @cached_property
    def _index(self) -> FeatureIndex:
        record = self.manifest.index
        if record is None:
            raise BankDamaged(f"{self.path} has no index; make it: rim verify --repair")
        return FeatureIndex.load(
            index_folder(self.path) / record.name,
            record,
            dimension=self.manifest.dimension,
            feature_rows=self.manifest.feature_rows,
        )

    @cached_property
    def _prototypes(self) -> Prototypes | None:
        record = self.manifest.prototypes
        if record is None:
            return None
        return read_prototypes(index_folder(self.path) / record.name, record)

    def _check_sizes(self) -> None:
        """BankDamaged if a file of this version is missing or of another size."""
        faults = []
        for folder, record in self.files():
            try:
                record.verify(folder, content=False)
            except BankDamaged as error:
                faults.append(str(error))
        if faults:
            raise BankDamaged(f"{shortened(faults, 1, rest=' (and {} more files)')}; {_REPAIR}")

    def files(self) -> Iterator[tuple[Path, FileRecord]]:
        """The folder and record of every file of this version."""
        for shard in self.shards:
            for record in shard.files:
                yield shard_folder(self.path, shard), record
        if self.manifest.verdicts is not None:
            yield verdicts_folder(self.path), self.manifest.verdicts
        for derived in (self.manifest.index, self.manifest.prototypes):
            if derived is not None:
                yield index_folder(self.path), derived

    def _part(self, shard: ShardRecord, part: Part) -> Path:
        """A file of a shard, whose SHA-256 is compared at its first use."""
        return self.check_file(shard_folder(self.path, shard), getattr(shard, part))

    def _pixels(self, image_ids: Iterable[int], column: str) -> dict[int, bytes]:
        wanted: defaultdict[Path, list[int]] = defaultdict(list)
        for image_id in image_ids:
            wanted[self._part(self._shard_of(image_id), "pixels")].append(image_id)
        pixels: dict[int, bytes] = {}
        for path, ids in wanted.items():
            table = read_table(path, ["image_id", column], pc.field("image_id").isin(ids))
            rows = zip(table["image_id"].to_pylist(), table[column].to_pylist(), strict=True)
            pixels.update((image_id, png) for image_id, png in rows if png is not None)
        return pixels

    @cached_property
    def _shards_by_origin(self) -> Mapping[tuple[int, str], list[ShardRecord]]:
        """The shards by category_id and source: a bank of many categories has many."""
        shards: defaultdict[tuple[int, str], list[ShardRecord]] = defaultdict(list)
        for shard in self.shards:
            shards[shard.category_id, shard.source].append(shard)
        return shards

    def _shard_of(self, image_id: int) -> ShardRecord:
        try:
            key = unpack_image_id(image_id)
        except ValueError as error:
            raise BankError(f"{self.path} has no image {image_id}: {error}") from error
        for shard in self._shards_by_origin.get((key.category_id, key.source), ()):
            if shard.start <= key.number < shard.stop:
                return shard
        raise BankError(f"{self.path} has no image {image_id}")


def _first_image(shard: ShardRecord) -> int:
    """The smallest image_id that a shard can hold."""
    return pack_image_id(shard.category_id, shard.source, shard.start)
