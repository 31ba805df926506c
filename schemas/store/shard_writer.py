"""Writing a shard: into a temporary folder, its sidecar last, renamed when all is on the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import pyarrow as pa

from schemas.errors import WriteFailed
from schemas.records import FileRecord, PhotoRecord, ShardRecord
from schemas.store.files import create_file, fsync_folder, fsync_open, make_folder, temporary_path
from schemas.store.parquet import open_writer
from schemas.store.shards import ShardSpec, find_shard, shard_folder, shards_folder, write_sidecar
from schemas.tables import PIXELS, ReferenceRow, features_table, images_table, pixels_table

# Pixels are flushed, and can be looked up, in groups of so many images.
PIXELS_GROUP = 8


class ShardWriter:
    """Writes one shard row by row; without `finish` nothing of it remains.

    Example:

        with ShardWriter(bank, spec, dimension=384) as writer:
            for row in rows:
                writer.add(row)
            record = writer.finish(batch_size=8, device="cpu", seconds={"generate": 12.3})
    """

    def __init__(self, bank: Path, spec: ShardSpec, *, dimension: int) -> None:
        """Opens a temporary folder in the bank (both are made); WriteFailed if that fails."""
        self._bank = bank
        self._spec = spec
        self._dimension = dimension
        self._facts: list[pa.Table] = []
        self._features: list[pa.Table] = []
        self._pending: list[ReferenceRow] = []
        self._count = 0
        shards = shards_folder(bank)
        self._folder = temporary_path(shards, spec.name)
        with self._failing("begin"):
            make_folder(shards)
            self._folder.mkdir()
            self._pixels_file = create_file(self._folder / "pixels.parquet")
            self._pixels = open_writer(self._pixels_file, PIXELS, "none")

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closing an unfinished file writes its footer, which a full disk does not take either.
        for open_one in (self._pixels, self._pixels_file):
            with contextlib.suppress(OSError):
                open_one.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, row: ReferenceRow) -> None:
        """Adds the next image; ValueError unless it is the one whose turn it is."""
        spec = self._spec
        expected = (spec.category_id, spec.category, spec.source, spec.start + self._count)
        found = (row.category_id, row.category, row.source, row.number)
        if found != expected or row.number >= spec.stop:
            raise ValueError(f"shard {spec.name}: expected the image {expected}, found {found}")
        self._count += 1
        self._pending.append(row)
        if len(self._pending) == PIXELS_GROUP:
            with self._failing("write"):
                self._flush()

    def finish(
        self,
        *,
        batch_size: int,
        device: str,
        seconds: Mapping[str, float] | None = None,
        photos: Sequence[PhotoRecord] = (),
    ) -> ShardRecord:
        """Publishes the shard and returns its record; ValueError if an image is missing.

        photos: what the images were made from, one an image; none if they were generated.

        If another process has published the same shard meanwhile, that one stays and is returned.
        Raises WriteFailed if the disk does not take it.
        """
        spec = self._spec
        if self._count != spec.stop - spec.start:
            raise ValueError(
                f"shard {spec.name}: expected {spec.stop - spec.start} images, found {self._count}"
            )
        with self._failing("write"):
            self._flush()
            self._pixels.close()
            self._seal(self._pixels_file)
            images = pa.concat_tables(self._facts)
            features = pa.concat_tables(self._features)
            record = ShardRecord(
                name=spec.name,
                build_hash=spec.build_hash,
                category_id=spec.category_id,
                category=spec.category,
                source=spec.source,
                start=spec.start,
                stop=spec.stop,
                attempt=spec.attempt,
                batch_size=batch_size,
                device=device,
                dimension=self._dimension,
                seconds=dict(seconds or {}),
                photos=tuple(photos),
                images=self._write("images.parquet", images, "zstd"),
                pixels=FileRecord.of(self._folder / "pixels.parquet", self._count),
                features=self._write("features.parquet", features, "none"),
            )
            write_sidecar(self._folder, record)
            return self._publish(record)

    @contextlib.contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        """Says which shard it was that the disk did not take."""
        try:
            yield
        except OSError as error:
            raise WriteFailed(
                f"cannot {doing} the shard {self._spec.name} in {self._bank}: "
                f"{error.strerror or error}; what was finished is kept: put that right and run "
                "the same command again"
            ) from error

    def _flush(self) -> None:
        """Moves the pending rows to where they take little memory: pixels to the disk."""
        if self._pending:
            self._facts.append(images_table(self._pending))
            self._features.append(features_table(self._pending, self._dimension))
            self._pixels.write_table(pixels_table(self._pending))
            self._pending.clear()

    def _write(self, name: str, table: pa.Table, compression: str) -> FileRecord:
        path = self._folder / name
        with create_file(path) as file:
            with open_writer(file, table.schema, compression) as writer:
                writer.write_table(table)
            self._seal(file)
        return FileRecord.of(path, table.num_rows)

    @staticmethod
    def _seal(file: BinaryIO) -> None:
        fsync_open(file)
        file.close()

    def _publish(self, record: ShardRecord) -> ShardRecord:
        target = shard_folder(self._bank, record)
        try:
            os.rename(self._folder, target)
        except OSError:
            if not target.exists():
                raise
            finished = find_shard(self._bank, self._spec)
            if finished is not None:
                return finished
            damaged = temporary_path(target.parent, target.name)
            os.rename(target, damaged)
            os.rename(self._folder, target)
            shutil.rmtree(damaged, ignore_errors=True)
        fsync_folder(target.parent)
        return record
