"""HTML tables for notebooks and pages: all text in them is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

from schemas.text import printable

_SIDE = 96  # pixels of an image in a table


class Safe(str):
    """Text that is HTML already, made by this package."""

    __slots__ = ()


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> str:
    """A table in HTML, with a note below it.

    rows: texts, which are escaped, `Safe` ones, which are not, and numbers, aligned to the right.
    """
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    below = f"<p>{_text(note)}</p>" if note else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div>{table}{below}</div>"


def embedded_image(png: bytes, title: str = "") -> Safe:
    """An `img` element that holds a PNG, shown at most _SIDE pixels wide and high."""
    data = base64.b64encode(png).decode("ascii")
    return Safe(
        f'<img src="data:image/png;base64,{data}" title="{_text(title)}"'
        f' style="max-height:{_SIDE}px;max-width:{_SIDE}px;display:inline-block;margin:1px">'
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td style="text-align:right">{"-" if value != value else f"{value:.3f}"}</td>'
    if isinstance(value, int):
        return f'<td style="text-align:right">{value}</td>'
    return f'<td style="text-align:left">{value if isinstance(value, Safe) else _text(value)}</td>'


def _text(value: object) -> str:
    """A text escaped for HTML, without characters that turn the direction of writing."""
    return escape(printable(value), quote=True)
