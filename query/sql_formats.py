"""Answers as text and files: table, CSV, JSON, Parquet."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import SqlError, UsageError

MAX_TABLE_ROWS = 200
MAX_CELL_WIDTH = 48


def format_result(table: pa.Table, kind: str) -> bytes:
    """A table in one of FORMATS, text in UTF-8.

    - table: for people. Long cells are cut, pictures are given as their size, control characters
      are escaped, and after MAX_TABLE_ROWS rows it says how many are left out.
    - csv: with a header; nothing is cut. NULL is empty, a nested value is JSON.
    - json: an array of one object a row; a MAP is an object.
    - parquet: as DuckDB gave it.

    In csv and json bytes are base64 and times ISO 8601; json has null for NaN and infinity.

    Raises UsageError for another kind, SqlError if two columns of a json have one name.
    """
    if kind not in FORMATS:
        raise UsageError(f"expected a format out of {', '.join(FORMATS)}, found {kind!r}")
    return _WRITERS[kind](table)


def _as_csv(table: pa.Table) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.column_names)
    columns = [_plain_column(column) for column in table.columns]
    writer.writerows([_csv_cell(value) for value in row] for row in zip(*columns, strict=True))
    return buffer.getvalue().encode("utf-8")


def _as_json(table: pa.Table) -> bytes:
    names = table.column_names
    if len(set(names)) < len(names):
        raise SqlError(f"expected different names of columns, found {names}; rename them with AS")
    columns = [_plain_column(column) for column in table.columns]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return json.dumps(rows, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def _as_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    try:
        pq.write_table(table, buffer, compression="zstd")
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise SqlError(f"expected types that Parquet has, found others ({reason})") from error
    return buffer.getvalue()


def _as_table(table: pa.Table) -> bytes:
    shown = table.slice(0, MAX_TABLE_ROWS)
    columns = [
        [_cut(_escaped(name)), *(_table_cell(value) for value in column.to_pylist())]
        for name, column in zip(shown.column_names, shown.columns, strict=True)
    ]
    widths = [max(map(_width, cells)) for cells in columns]
    right = [
        pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        for field in shown.schema
    ]
    lines = [
        "  ".join(map(_aligned, row, widths, right)).rstrip() for row in zip(*columns, strict=True)
    ]
    lines[1:1] = ["  ".join("-" * width for width in widths)]
    if table.num_rows > MAX_TABLE_ROWS:
        lines.append(f"({MAX_TABLE_ROWS} of {table.num_rows} rows; the other formats have all)")
    return ("\n".join(lines) + "\n").encode("utf-8")


def _plain_column(column: pa.ChunkedArray) -> list[Any]:
    """The values as JSON has them."""
    return [_plain(value, column.type) for value in column.to_pylist()]


def _plain(value: Any, kind: pa.DataType) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if pa.types.is_map(kind):
        return {str(key): _plain(item, kind.item_type) for key, item in value}
    if pa.types.is_struct(kind):
        return {field.name: _plain(value[field.name], field.type) for field in kind}
    if isinstance(value, list):
        return [_plain(item, kind.value_type) for item in value]
    return str(value)


def _csv_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _table_cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, float):
        return f"{value:.6g}"
    # An embedding has thousands of numbers of which a few are shown.
    if isinstance(value, list) and len(value) > MAX_CELL_WIDTH:
        value = value[:MAX_CELL_WIDTH]
    return _cut(_escaped(str(value)))


def _escaped(text: str) -> str:
    """Nothing that would move a terminal's cursor: names come from the bank's maker."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL_WIDTH else text[: MAX_CELL_WIDTH - 1] + "…"


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _aligned(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


_WRITERS: Mapping[str, Callable[[pa.Table], bytes]] = {
    "table": _as_table,
    "csv": _as_csv,
    "json": _as_json,
    "parquet": _as_parquet,
}
FORMATS: tuple[str, ...] = tuple(_WRITERS)
