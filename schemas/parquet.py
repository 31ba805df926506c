"""Parquet with a checksum on every page, written and read: flipped bytes never pass silently."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from schemas.errors import BankDamaged


def open_writer(path: Path, schema: pa.Schema, compression: str = "zstd") -> pq.ParquetWriter:
    """A writer whose pages carry checksums; the same tables give the same bytes."""
    return pq.ParquetWriter(path, schema, compression=compression, write_page_checksum=True)


def read_table(
    path: Path, columns: Sequence[str] | None = None, filters: ds.Expression | None = None
) -> pa.Table:
    """Rows and columns of one file; BankDamaged if it is missing, damaged or no Parquet."""
    with _damage_named(path):
        return pq.read_table(
            path,
            columns=None if columns is None else list(columns),
            filters=filters,
            page_checksum_verification=True,
            partitioning=None,
        )


def open_dataset(paths: Sequence[Path], schema: pa.Schema) -> ds.Dataset:
    """One dataset over many files, none of which is read yet; pages are checked when it is."""
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    file_format = ds.ParquetFileFormat(default_fragment_scan_options=options)
    return ds.dataset([str(path) for path in paths], schema=schema, format=file_format)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises for a damaged file into BankDamaged naming the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
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
