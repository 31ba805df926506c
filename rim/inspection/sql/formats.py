"""Writes answers as text, files and HTML: table, CSV, JSON, Parquet, and a notebook's table."""

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

from rim.html import embedded_image, html_table
from schemas.errors import SqlError, UsageError
from schemas.text import hidden_character, printable

MAX_TABLE_ROWS = 200
MAX_CELL_WIDTH = 48
MAX_HTML_ROWS = 20
_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST_IMAGE = 1 << 18  # bytes; an answer of many larger ones would be a notebook of gigabytes
_LONGEST_SIDE = 4096  # pixels


def format_result(table: pa.Table, kind: str) -> bytes:
    """A table in one of FORMATS, text in UTF-8.

    - table: for people. Long cells are cut, images are given as their size, control characters
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


def plain_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows as tuples of Python's values; SqlError for a value that Python does not have."""
    return list(zip(*_values(table), strict=True))


def answer_html(table: pa.Table) -> str:
    """The first MAX_HTML_ROWS rows as a table in HTML; images are shown, long values cut."""
    shown = plain_rows(table.slice(0, MAX_HTML_ROWS))
    cut = len(table) > MAX_HTML_ROWS
    more = f"The first {MAX_HTML_ROWS} rows; .to_arrow_table() has all." if cut else ""
    rows = [[_html_value(one) for one in row] for row in shown]
    return html_table(table.column_names, rows, more)


def for_terminal(data: bytes, kind: str) -> bytes:
    """The same text in csv or json where a person sees it: hidden characters are escaped.

    They could move the cursor or turn the direction of writing. In json the escapes are json's
    own, so it still says the same; line breaks stay. `table` has been escaped already.
    """
    escape = _json_escape if kind == "json" else printable
    return "".join(
        one if one == "\n" or hidden_character(one) is None else escape(one)
        for one in data.decode("utf-8")
    ).encode("utf-8")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _as_csv(table: pa.Table) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.column_names)
    columns = _plain_columns(table)
    writer.writerows([_csv_cell(value) for value in row] for row in zip(*columns, strict=True))
    return buffer.getvalue().encode("utf-8")


def _as_json(table: pa.Table) -> bytes:
    names = table.column_names
    if len(set(names)) < len(names):
        raise SqlError(f"expected different names of columns, found {names}; rename them with AS")
    columns = _plain_columns(table)
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
        [_shown(name), *map(_table_cell, values)]
        for name, values in zip(shown.column_names, _values(shown), strict=True)
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


def _values(table: pa.Table) -> list[list[Any]]:
    """The columns as Python's values; SqlError for one that Python does not have."""
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (OverflowError, ValueError, pa.ArrowException) as error:
            raise SqlError(
                f"expected values that Python can hold, found one in the column {printable(name)!r}"
                f" that it cannot ({printable(error)}): CAST it AS VARCHAR, or take --format"
                " parquet"
            ) from error
    return columns


def _plain_columns(table: pa.Table) -> list[list[Any]]:
    """The columns with the values that JSON has."""
    return [
        [_plain(value, column.type) for value in values]
        for values, column in zip(_values(table), table.columns, strict=True)
    ]


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
    """A value as a person sees it in a table: short, hidden characters escaped."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, float):
        return f"{value:.6g}"
    # An embedding has thousands of numbers of which a few are shown.
    if isinstance(value, list) and len(value) > MAX_CELL_WIDTH:
        value = value[:MAX_CELL_WIDTH]
    return _shown(str(value))


def _html_value(value: Any) -> Any:
    if isinstance(value, bytes) and _is_small_image(value):
        return embedded_image(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else _table_cell(value)


def _is_small_image(data: bytes) -> bool:
    """Whether it says that it is a PNG that no browser has trouble with."""
    # [PNG] width and height stand behind the signature, the chunk's length and its name.
    sides = (int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    return data.startswith(_PNG) and len(data) <= _LARGEST_IMAGE and max(sides) <= _LONGEST_SIDE


def _shown(text: str) -> str:
    """A text cut to MAX_CELL_WIDTH, hidden characters escaped: names come from the bank's maker."""
    # What is cut off needs no escaping, which makes a text longer, never shorter.
    text = printable(text[: MAX_CELL_WIDTH + 1], 16 * MAX_CELL_WIDTH)
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
