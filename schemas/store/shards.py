"""Shards on disk: the unit of work, `BANK/shards/NAME/` with three Parquet files and shard.json.

A folder with a shard's name is a finished shard, and is never changed afterwards.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds
from pydantic import ValidationError

from schemas.errors import BankDamaged
from schemas.ids import unpack_feature_ids
from schemas.records import ShardRecord
from schemas.store.files import TEMPORARY_PREFIX, write_atomic
from schemas.store.parquet import open_dataset, read_table
from schemas.store.sealed import read_sealed, seal
from schemas.tables import IMAGES, PIXELS, features_schema

SIDECAR = "shard.json"
SHARD_NAME = re.compile(r"c(\d+)-([a-z]+)-n(\d+)-(\d+)-([0-9a-f]{8})(-r\d+)?")
"""category_id, source, start, stop, the beginning of the build hash, attempt."""

Part = Literal["images", "pixels", "features"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardSpec:
    """Which shard: the images start..stop-1 of one category from one source, under one hash.

    attempt: 0, and one more each time that a shard is made again because images had failed.
    """

    category_id: int
    category: str
    source: str
    start: int
    stop: int
    build_hash: str
    attempt: int = 0

    @classmethod
    def of(cls, record: ShardRecord) -> ShardSpec:
        """The spec that a finished shard was made by."""
        return cls(**{name: getattr(record, name) for name in cls.__dataclass_fields__})

    @property
    def name(self) -> str:
        """The shard's folder, e.g. c00003-diffusion-n00000-00050-0123abcd."""
        name = (
            f"c{self.category_id:05d}-{self.source}-n{self.start:05d}-{self.stop:05d}"
            f"-{self.build_hash[:8]}"
        )
        return f"{name}-r{self.attempt}" if self.attempt else name


@dataclass(frozen=True)
class ShardFeatures:
    """The features of one shard, in the order of their ids: also those of rejected images.

    embeddings: float32 (n, d). feature_id, image_id: int64 (n,). role: int8 (n,), foreground 0.
    """

    embeddings: npt.NDArray[np.float32]
    feature_id: npt.NDArray[np.int64]
    image_id: npt.NDArray[np.int64]
    role: npt.NDArray[np.int8]


def shards_folder(bank: Path) -> Path:
    """Where a bank's shards are."""
    return bank / "shards"


def shard_folder(bank: Path, record: ShardRecord) -> Path:
    """Where one shard is."""
    return shards_folder(bank) / record.name


def sidecar_path(folder: Path) -> Path:
    """The file in a shard's folder that says what it holds."""
    return folder / SIDECAR


def finished_folders(bank: Path) -> list[Path]:
    """The folders of all finished shards on disk, by name, whether a version names them or not."""
    folders = shards_folder(bank).glob("c*")
    return sorted(folder for folder in folders if SHARD_NAME.fullmatch(folder.name))


def write_sidecar(folder: Path, record: ShardRecord) -> None:
    """Writes a shard's record into its folder, in a single step; OSError if the disk is full."""
    write_atomic(folder / SIDECAR, seal(record.model_dump(mode="json")))


def read_sidecar(folder: Path) -> ShardRecord:
    """Reads the record in a shard's folder; BankDamaged if it has no readable shard.json."""
    path = folder / SIDECAR
    content = read_sealed(path)
    del content["digest"]
    try:
        return ShardRecord.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise BankDamaged(
            f"{path}: expected a shard's record, found {error.error_count()} mistakes in it, "
            f"the first: {error.errors()[0]['msg']}"
        ) from error


def find_shard(bank: Path, spec: ShardSpec, *, verify: bool = True) -> ShardRecord | None:
    """The finished shard on disk for a spec, of its attempt or the latest later one, or None.

    verify: whether to check the files' content too, not their sizes alone. A damaged shard counts
    as none: it is logged, and writing the shard again replaces it.
    """
    attempts = [spec.attempt]
    first = replace(spec, attempt=0)
    for folder in shards_folder(bank).glob(f"{first.name}-r*"):
        number = folder.name.rpartition("-r")[2]
        if number.isdecimal() and int(number) > spec.attempt:
            attempts.append(int(number))
    for attempt in sorted(attempts, reverse=True):
        record = _read_finished(bank, replace(spec, attempt=attempt), verify)
        if record is not None:
            return record
    return None


def verify_sidecar(folder: Path, record: ShardRecord) -> None:
    """Checks that a shard's sidecar is the recorded one; BankDamaged if not."""
    if read_sidecar(folder) != record:
        raise BankDamaged(f"{folder / SIDECAR}: it describes another shard than the one recorded")


def read_features(bank: Path, record: ShardRecord) -> ShardFeatures:
    """The features of one shard; BankDamaged if the file is not what was written."""
    path = shard_folder(bank, record) / record.features.name
    table = read_table(path)
    if table.schema != features_schema(record.dimension) or table.num_rows != record.features.rows:
        raise BankDamaged(
            f"{path}: expected {record.features.rows} features of length {record.dimension}, "
            f"found {table.num_rows} rows with other columns or of another length"
        )
    feature_id = table["feature_id"].to_numpy()
    image_id, role = unpack_feature_ids(feature_id)
    embeddings = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return ShardFeatures(
        embeddings=embeddings.reshape(-1, record.dimension),
        feature_id=feature_id,
        image_id=image_id,
        role=role,
    )


def dataset(bank: Path, records: Iterable[ShardRecord], part: Part, dimension: int) -> ds.Dataset:
    """One part of many shards as an Arrow dataset; nothing is read yet, pages are checked later.

    dimension: length of the embeddings, which an empty dataset of features needs to know too.
    """
    schemas: dict[Part, pa.Schema] = {
        "images": IMAGES,
        "pixels": PIXELS,
        "features": features_schema(dimension),
    }
    paths = [shard_folder(bank, record) / f"{part}.parquet" for record in records]
    return open_dataset(paths, schemas[part])


def remove_unfinished(bank: Path) -> int:
    """Deletes what interrupted builds left among the shards and says how many folders it was.

    Only under the bank's build lock: it would delete the unfinished shard of another build, too.
    """
    leftovers = list(shards_folder(bank).glob(f"{TEMPORARY_PREFIX}*"))
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)
    return len(leftovers)


def _read_finished(bank: Path, spec: ShardSpec, verify: bool) -> ShardRecord | None:
    folder = shards_folder(bank) / spec.name
    if not folder.is_dir():
        return None
    try:
        record = read_sidecar(folder)
        found = ShardSpec.of(record)
        if found != spec:
            raise BankDamaged(f"{folder}: expected {spec}, found {found}")
        for file in record.files:
            file.verify(folder, content=verify)
    except BankDamaged as error:
        logger.warning("a finished shard cannot be used and is made again: %s", error)
        return None
    return record
