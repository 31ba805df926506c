"""Tables in HTML for notebooks: everything from a bank in them is escaped, and they stay small."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from rim.inspection.sql_formats import table_cell
from schemas.text import printable

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS = 20
_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST_PICTURE = 1 << 18  # bytes; an answer of many larger ones would be a notebook of gigabytes
_LONGEST_SIDE = 4096  # pixels
_SIDE = 96  # pixels of a picture in a table


class Safe(str):
    """Text that is HTML already, made by this package."""

    __slots__ = ()


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> str:
    """A table. rows: texts, which are escaped, `Safe` ones, and numbers, which are set right."""
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    below = f"<p>{_text(note)}</p>" if note else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div>{table}{below}</div>"


def answer_table(table: pa.Table) -> str:
    """The first MAX_ROWS rows of an answer; pictures are shown, long values cut."""
    from rim.inspection.sql_formats import plain_rows

    shown = plain_rows(table.slice(0, MAX_ROWS))
    more = f"The first {MAX_ROWS} rows; .to_arrow_table() has all." if len(table) > MAX_ROWS else ""
    return html_table(table.column_names, [[_value(one) for one in row] for row in shown], more)


def picture(png: bytes, title: str = "") -> Safe:
    """A PNG within the page, at most _SIDE pixels high there."""
    data = base64.b64encode(png).decode("ascii")
    return Safe(
        f'<img src="data:image/png;base64,{data}" title="{_text(title)}"'
        f' style="max-height:{_SIDE}px;max-width:{_SIDE}px;display:inline-block;margin:1px">'
    )


def _value(value: Any) -> Any:
    if isinstance(value, bytes) and _is_small_picture(value):
        return picture(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else table_cell(value)


def _is_small_picture(data: bytes) -> bool:
    """Whether it says that it is a PNG that no browser has trouble with."""
    # [PNG] width and height stand behind the signature, the chunk's length and its name.
    sides = (int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    return data.startswith(_PNG) and len(data) <= _LARGEST_PICTURE and max(sides) <= _LONGEST_SIDE


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td style="text-align:right">{"-" if value != value else f"{value:.3f}"}</td>'
    if isinstance(value, int):
        return f'<td style="text-align:right">{value}</td>'
    return f'<td style="text-align:left">{value if isinstance(value, Safe) else _text(value)}</td>'


def _text(value: object) -> str:
    """As text of the page: no marks, nothing that turns the direction of writing."""
    return escape(printable(value), quote=True)
