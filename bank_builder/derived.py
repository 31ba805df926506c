"""Derives from all shards of a version its verdicts, index and prototypes, and rebuilds them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bank_builder.rejection import Masks, judge
from schemas.errors import BankDamaged
from schemas.ids import FOLDER, SOURCES, unpack_image_ids
from schemas.records import FileRecord, ShardRecord
from schemas.sections import Reference
from schemas.store.bank import StoredBank, index_folder
from schemas.store.feature_rows import FeatureRows
from schemas.store.files import create_file, fsync_folder, make_folder, temporary_path
from schemas.store.index import FeatureIndex, feature_rows_digest, write_index
from schemas.store.parquet import read_table
from schemas.store.prototypes import derive_prototypes, write_prototypes
from schemas.store.shards import shard_folder
from schemas.store.verdicts import Verdict, effective_verdicts
from schemas.tables import IMAGES

_COLUMNS = ("image_id", "mask_area", "sam_score")


@dataclass(frozen=True)
class Derived:
    """The verdicts, the person's and the automatic ones, and the files of the features left.

    feature_rows: `feature_rows_digest` of those features.
    """

    verdicts: tuple[Verdict, ...]
    index: FileRecord
    prototypes: FileRecord
    feature_rows: str


def write_derived(
    out: Path,
    number: int,
    shards: Sequence[ShardRecord],
    names: Mapping[int, str],
    person: Sequence[Verdict],
    reference: Reference,
    dimension: int,
) -> Derived:
    """Compares all images, and writes index and prototypes of version `number`.

    Memory does not grow with the number of categories but by what `judge` says: embeddings stay on
    the disk, in the index and, meanwhile, a second time in a temporary file beside it.

    Args:
        shards: of the categories that were not removed.
        names: of the categories, by category_id.
        person: a person's verdicts.
        reference: how images are compared with each other.
        dimension: length of the embeddings.

    Raises:
        BankDamaged: a shard's file is not what was written.
    """
    folder = index_folder(out)
    rows = FeatureRows.accepted(out, shards, effective_verdicts(person), dimension)
    masks = read_masks(out, rows.shards, rows.foreground_images)
    with spooled(rows, folder) as embeddings:
        judgement = judge(embeddings, rows.feature_id, masks, names, person, reference)
        index = write_index(
            folder / f"{number:06d}.faiss",
            accepted_blocks(embeddings, judgement.accepted),
            rows.feature_id[judgement.accepted],
            rows.dimension,
        )
    stored = FeatureIndex.load(folder / index.name, index)
    prototypes = write_prototypes(
        folder / f"{number:06d}.prototypes.parquet",
        derive_prototypes(stored.embeddings, stored.feature_ids),
    )
    return Derived(judgement.verdicts, index, prototypes, feature_rows_digest(stored.feature_ids))


def rebuild_index(bank: StoredBank) -> None:
    """Writes a version's index again.

    Raises BankDamaged if shards are damaged, or if they give another index than the one in the
    manifest (FAISS may have changed its format): then nothing is replaced.
    """
    expected = _expected(bank, bank.manifest.index, "index")
    rows = _rows(bank)
    _replace(
        index_folder(bank.path),
        expected,
        lambda trial: write_index(trial, rows.blocks(), rows.feature_id, rows.dimension),
        "the features give another index than the manifest has; was it written by another FAISS?",
    )


def rebuild_prototypes(bank: StoredBank) -> None:
    """Writes a version's prototypes again.

    Raises BankDamaged if shards are damaged, or if they give other bytes than those in the manifest
    (Parquet names its writer): then nothing is replaced.
    """
    expected = _expected(bank, bank.manifest.prototypes, "prototypes")
    rows = _rows(bank)
    with spooled(rows, index_folder(bank.path)) as embeddings:
        prototypes = derive_prototypes(embeddings, rows.feature_id)
    _replace(
        index_folder(bank.path),
        expected,
        lambda trial: write_prototypes(trial, prototypes),
        "the features give other prototypes than the manifest has; were they written by another "
        "pyarrow?",
    )


def _expected(bank: StoredBank, record: FileRecord | None, what: str) -> FileRecord:
    if record is None:
        raise BankDamaged(f"{bank.path}: the manifest names no {what}; build the bank again")
    return record


def _rows(bank: StoredBank) -> FeatureRows:
    """The features of the bank's version; BankDamaged if they are not those of its manifest."""
    manifest = bank.manifest
    verdicts = effective_verdicts(bank.verdicts)
    for part in ("images", "features"):
        bank.check_part(part)
    rows = FeatureRows.accepted(bank.path, bank.shards, verdicts, manifest.dimension)
    if manifest.feature_rows not in (None, feature_rows_digest(rows.feature_id)):
        raise BankDamaged(
            f"{bank.path}: the shards have other accepted features than version {bank.version} "
            "names; build the bank again"
        )
    return rows


def _replace(
    folder: Path, expected: FileRecord, write: Callable[[Path], FileRecord], otherwise: str
) -> None:
    """Puts what `write` writes in the place of the expected file, if it has the same bytes."""
    target = folder / expected.name
    trial = temporary_path(folder, expected.name)
    trial.mkdir()
    try:
        made = write(trial / expected.name)
        if made != expected:
            raise BankDamaged(f"{target}: {otherwise} Build the bank again")
        os.replace(trial / expected.name, target)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    fsync_folder(folder)


def read_masks(bank: Path, shards: Iterable[ShardRecord], image_id: NDArray[np.int64]) -> Masks:
    """Reads the areas of images' masks, in the order of `image_id`; reads no pixels.

    Memory is that of one shard's facts, and some numbers an image.

    Args:
        bank: its folder.
        shards: that have the images.
        image_id: (n,), ascending.

    Raises:
        BankDamaged: a shard's file is not what was written, or an image is in none.
    """
    schema = pa.schema([IMAGES.field(name) for name in _COLUMNS])
    area = np.full(len(image_id), np.nan)
    score = np.full(len(image_id), np.nan)
    for shard in shards:
        path = shard_folder(bank, shard) / shard.images.name
        table = read_table(path, _COLUMNS, schema=schema)
        own = table["image_id"].to_numpy()
        row = np.searchsorted(image_id, own)
        found = row < len(image_id)
        found[found] = image_id[row[found]] == own[found]
        area[row[found]] = table["mask_area"].to_numpy()[found]
        score[row[found]] = table["sam_score"].to_numpy()[found]
    if np.isnan(area).any():
        missing = int(image_id[np.isnan(area)][0])
        raise BankDamaged(f"{bank}: expected the area of image {missing}'s mask in its shard")
    from_folder = unpack_image_ids(image_id).source_code == SOURCES.index(FOLDER)
    # A photo's mask is a person's or SAM's, and SAM's has a score.
    return Masks(area, from_folder & np.isnan(score))


@contextlib.contextmanager
def spooled(rows: FeatureRows, folder: Path) -> Iterator[NDArray[np.float32]]:
    """The embeddings of those rows, (n, d) float32, read-only, mapped from a temporary file.

    So they take disk, 4 n d bytes, and no memory that the system could not take back. The file is
    deleted afterwards, where the system lets it (not Windows) as soon as it is mapped: then not
    even a killed build leaves it behind.

    Raises BankDamaged as `FeatureRows.blocks` does, OSError if the disk does not take it.
    """
    make_folder(folder)
    path = temporary_path(folder, "features")
    shape = (len(rows.feature_id), rows.dimension)
    try:
        # Written, not mapped for writing: a full disk is then an error and not the end.
        with create_file(path) as file:
            for block in rows.blocks():
                file.write(np.ascontiguousarray(block, np.float32).data)
        embeddings = np.memmap(path, np.float32, "r", shape=shape) if len(rows.feature_id) else None
        with contextlib.suppress(PermissionError):
            path.unlink()
        yield np.empty(shape, np.float32) if embeddings is None else np.asarray(embeddings)
    finally:
        path.unlink(missing_ok=True)


def accepted_blocks(
    embeddings: NDArray[np.float32], accepted: NDArray[np.bool_], at_once: int = 1024
) -> Iterator[NDArray[np.float32]]:
    """The embeddings (n, d) that are accepted (n,), of at most `at_once` rows at a time."""
    for start in range(0, len(embeddings), at_once):
        block = slice(start, start + at_once)
        yield embeddings[block][accepted[block]]
