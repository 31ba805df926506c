"""Pages out of templates: everything that goes into one is made harmless on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from query.overlay import category_colour
from rim.inspection.report.overview import CategorySummary
from rim.inspection.report.sheets import Cell
from schemas.store.bank import StoredBank
from schemas.text import hidden_character, printable_lines

ASSETS: Final = ("style.css", "tables.js", "map.js", "similarity.js")
"""The files beside the pages; no script is written into a page."""

POLICY: Final = (
    "default-src 'none'; img-src 'self' file:; style-src 'self' file:; script-src 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)
"""What a browser lets the pages load: their own files alone, from the disk or from one server."""


@dataclass(frozen=True)
class Link:
    """A category as other pages show it. page, cover: None if the report leaves it out."""

    name: str
    colour: str
    page: str | None
    cover: Cell | None


@dataclass(frozen=True)
class Site:
    """What every page says about the bank. chosen, categories: how many are shown of how many."""

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


def colour_of(category_id: int) -> str:
    """A category's colour as "#rrggbb", the one that it has in overlays of photos."""
    return "#{:02x}{:02x}{:02x}".format(*category_colour(category_id))


def links_of(
    bank: StoredBank, shown: Mapping[int, tuple[CategorySummary, Cell]]
) -> dict[int, Link]:
    """All categories of the bank by category_id; those that are shown have a page and a cover."""
    links = {}
    for record in bank.categories:
        summary, cover = shown.get(record.category_id, (None, None))
        page = None if summary is None else summary.page
        links[record.category_id] = Link(record.name, colour_of(record.category_id), page, cover)
    return links


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
