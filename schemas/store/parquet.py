"""Parquet with a checksum on every page, written and read: flipped bytes never pass silently."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.parquet as pq

from schemas.errors import BankDamaged


def open_writer(file: BinaryIO, schema: pa.Schema, compression: str = "zstd") -> pq.ParquetWriter:
    """A writer whose pages carry checksums; the same tables give the same bytes.

    It writes into an open file, which stays open, and passes on what that raises.
    """
    return pq.ParquetWriter(file, schema, compression=compression, write_page_checksum=True)


def read_table(
    path: Path,
    columns: Sequence[str] | None = None,
    filters: ds.Expression | None = None,
    schema: pa.Schema | None = None,
) -> pa.Table:
    """Rows and columns of one file; BankDamaged if it is missing, damaged or no Parquet.

    schema: of the columns; what an older file has no column for is then NULL.
    """
    with _damage_named(path):
        table = pq.read_table(
            path,
            columns=None if columns is None else list(columns),
            filters=filters,
            schema=schema,
            page_checksum_verification=True,
            partitioning=None,
        )
        _ = table.column_names  # decoded now: they need not be UTF-8
        return table


def open_dataset(paths: Sequence[Path], schema: pa.Schema) -> ds.Dataset:
    """One dataset over many files, none of which is read yet; pages are checked when it is.

    Raises OSError if one of them is missing.
    """
    return ds.dataset([str(path) for path in paths], schema=schema, format=_checked_format())


def open_dataset_lazily(path: Path, schema: pa.Schema) -> ds.Dataset:
    """The same over one file that may be missing: then reading it fails, not opening it."""
    local, file_format = fs.LocalFileSystem(), _checked_format()
    fragment = file_format.make_fragment(str(path), filesystem=local)
    return ds.FileSystemDataset([fragment], schema, file_format, filesystem=local)


def _checked_format() -> ds.ParquetFileFormat:
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=options)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises for a damaged file into BankDamaged naming the file."""
    try:
        yield
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BankDamaged(
            f"{path}: expected the Parquet file that was written, found it missing or damaged "
            f"({reason}); run: rim verify"
        ) from error


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as the content of one Parquet file with page checksums."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink, table.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
