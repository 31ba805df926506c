"""Renders pages from templates, and data for their scripts; strangers' texts are escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from schemas.store.bank import StoredBank
from schemas.text import hidden_character, printable_lines

ASSETS: Final = ("style.css", "tables.js", "map.js", "similarity.js")
"""The files beside the pages; no script is written into a page."""

POLICY: Final = (
    "default-src 'none'; img-src 'self' file:; style-src 'self' file:; script-src 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)
"""The policy by which a browser lets pages load their own files alone, from disk or one server."""

# Harmless in a script file, but not within a page.
_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


@dataclass(frozen=True)
class Site:
    """The facts about the bank that every page shows.

    chosen, categories: how many categories are shown, and how many there are.
    """

    bank: str
    version: int
    created: str
    chosen: int
    categories: int

    @classmethod
    def of(cls, bank: StoredBank, chosen: int) -> Site:
        """Of a bank of which so many categories are shown."""
        name = bank.path.resolve().name
        return cls(name, bank.version, bank.manifest.created, chosen, len(bank.categories))


class Pages:
    """Renders the templates of one report and writes the pages."""

    def __init__(self, folder: Path, site: Site) -> None:
        """folder: the report's, exists."""
        self._folder = folder
        self._site = site

    def write(self, template: str, page: str, **content: Any) -> None:
        """Renders a template into the file `page`, relative to the folder."""
        root = "../" * page.count("/")
        text = self._environment.get_template(template).render(
            site=self._site, policy=POLICY, root=root, page=page, **content
        )
        (self._folder / page).write_text(text, encoding="utf-8", newline="\n")

    def write_assets(self) -> None:
        """Copies style sheet and scripts into the folder `assets`."""
        for name in ASSETS:
            source = files("rim.inspection.report") / "assets" / name
            (self._folder / "assets" / name).write_bytes(source.read_bytes())

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("rim.inspection.report"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_harmless,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(
            fixed=_fixed,
            percent=_percent,
            count=_count,
            megabytes=_megabytes,
            moment=_moment,
            plain=_plain,
        )
        return environment


def script(variable: str, value: Mapping[str, Any]) -> bytes:
    """A script file that sets `window.VARIABLE`: pages on the disk may not fetch other data.

    The same value always gives the same bytes.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return f"window.{variable}={text};\n".encode("utf-8", "backslashreplace")


def packed(values: NDArray[Any], dtype: str) -> str:
    """Numbers as base64 of little-endian bytes, for a typed array. dtype: such as "<u2"."""
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode("ascii")


def _harmless(value: Any) -> Any:
    """Text by strangers with hidden characters, such as those that turn the direction of writing,
    as escapes; Jinja then escapes what means something in HTML.
    """
    if not isinstance(value, str) or isinstance(value, Markup) or hidden_character(value) is None:
        return value
    return printable_lines(value)


def _fixed(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")  # noqa: RUF001


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"  # noqa: RUF001


def _count(value: int) -> str:
    return f"{value:,}"


def _megabytes(value: int) -> str:
    return f"{value / 1e6:,.1f} MB"


def _moment(text: str) -> str:
    """An ISO 8601 time for people, to the minute; another text as it is."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = " UTC" if time.utcoffset() == timedelta(0) else ""
    return f"{time:%Y-%m-%d %H:%M}{zone}"


def _plain(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
