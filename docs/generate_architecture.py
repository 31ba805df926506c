"""Draws the rooms of the house and the flow of data, and lists the rooms in docs/architecture.md.

python -m docs.generate_architecture
"""

from __future__ import annotations

import ast
import html
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from docs.imports import (
    ALLOWED,
    PACKAGES,
    REPOSITORY,
    files_of,
    module_graph,
    module_name,
    room_arrows,
    room_of,
)
from schemas.store.files import write_atomic

PAGE = Path(__file__).resolve().with_name("architecture.md")
DRAWING = PAGE.parent / "images" / "architecture.svg"
START = "<!-- The rooms, by `python -m docs.generate_architecture`. -->"
END = "<!-- end of the rooms -->"

# What happens to data, step by step, and the module that does it.
OFFLINE = (
    ("vocabulary", "schemas.vocabulary"),
    ("prompt", "foundation.prompts"),
    ("image", "foundation.text_to_image"),
    ("attention", "foundation.cross_attention"),
    ("points", "bank_builder.points"),
    ("mask", "bank_builder.reference_mask"),
    ("features", "foundation.patch_features"),
    ("shard", "schemas.store.shard_writer"),
    ("index", "schemas.store.index"),
    ("commit", "bank_builder.commit"),
)
ONLINE = (
    ("photo", "foundation.images.reading"),
    ("proposals", "query.proposals"),
    ("masks", "query.fuse"),
    ("regions", "query.region_features"),
    ("features", "foundation.patch_features"),
    ("matches", "query.classification"),
    ("label map", "query.label_map"),
    ("result", "query.result"),
    ("files", "query.exports.formats"),
)

COLOURS = {
    "schemas": "#d9e8fb",
    "foundation": "#d8f0dc",
    "bank_builder": "#fde5cc",
    "query": "#fbdbe3",
    "rim": "#e7dcf7",
    "miniature": "#eceff1",
    "benchmarks": "#eceff1",
}
INK, LINE = "#1f2933", "#7b8794"
WIDTH = 960
BOX, LANE, GAP = 138, 10, 22
"""Widths: of a room, of an arrow that passes a row, and between the two."""
HEIGHT, ROW = 42, 74
"""Heights: of a room, and from one row of rooms to the next."""


@dataclass(frozen=True)
class Place:
    """What stands in a row of the drawing: a room, or an arrow that passes by on its way down."""

    name: str
    row: int
    x: float = 0
    """The middle."""

    @property
    def width(self) -> int:
        return BOX if self.name in ALLOWED else LANE


def arrows_between_rooms() -> dict[str, set[str]]:
    """The rooms that each room imports from, as far as the table of rooms allows it."""
    found: dict[str, set[str]] = {room: set() for room in ALLOWED}
    for importing, imported in room_arrows(module_graph()):
        if imported in ALLOWED[importing]:
            found[importing].add(imported)
    return found


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no way over other rooms stands for."""

    def below(room: str) -> set[str]:
        return arrows[room].union(*(below(other) for other in arrows[room]))

    return {
        room: direct.difference(*(below(other) for other in direct))
        for room, direct in arrows.items()
    }


def rows_of(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    """The row of each room, from the bottom: one above the highest room that it imports from."""
    found: dict[str, int] = {}

    def row(room: str) -> int:
        if room not in found:
            found[room] = 1 + max((row(other) for other in arrows[room]), default=-1)
        return found[room]

    for room in arrows:
        row(room)
    return found


def placed(arrows: Mapping[str, set[str]]) -> tuple[list[list[Place]], list[list[str]]]:
    """The rows with their places from left to right, and each arrow as the places it passes."""
    levels = rows_of(arrows)
    rows = [
        [Place(room, level) for room in arrows if levels[room] == level]
        for level in range(max(levels.values()) + 1)
    ]
    ways = []
    for room, direct in arrows.items():
        for other in sorted(direct):
            passed = range(levels[room] - 1, levels[other], -1)
            lanes = [Place(f"{room} to {other} past {row}", row) for row in passed]
            for lane in lanes:
                rows[lane.row].append(lane)
            ways.append([room, *(lane.name for lane in lanes), other])
    neighbours: dict[str, list[str]] = {}
    for way in ways:
        for upper, lower in itertools.pairwise(way):
            neighbours.setdefault(upper, []).append(lower)
            neighbours.setdefault(lower, []).append(upper)
    rows = [spread(row) for row in rows]
    for _ in range(12):  # neighbours draw each other near; more rounds change nothing
        for number in [*range(len(rows)), *reversed(range(len(rows)))]:
            at = {place.name: place.x for row in rows for place in row}
            means = {
                place.name: sum(at[other] for other in neighbours.get(place.name, [place.name]))
                / len(neighbours.get(place.name, [place.name]))
                for place in rows[number]
            }
            rows[number] = spread(sorted(rows[number], key=lambda one: (means[one.name], one.name)))
    return rows, ways


def spread(row: Sequence[Place]) -> list[Place]:
    """The places side by side, in the middle of the drawing."""
    total = sum(place.width for place in row) + GAP * (len(row) - 1)
    left = (WIDTH - total) / 2
    found = []
    for place in row:
        found.append(replace(place, x=left + place.width / 2))
        left += place.width + GAP
    return found


def drawing() -> str:
    """The whole drawing as SVG, with its own background, so that dark pages show it too."""
    rows, ways = placed(reduced(arrows_between_rooms()))
    places = {place.name: place for row in rows for place in row}
    top = 56
    height = top + len(rows) * ROW

    def middle(place: Place) -> float:
        return top + (len(rows) - 1 - place.row) * ROW + HEIGHT / 2

    parts = [_title(24, 32, "Rooms: an arrow leads from a room to one that it imports from")]
    for way in ways:
        first, *lanes, last = (places[name] for name in way)
        path = f"M{first.x:.0f},{middle(first) + HEIGHT / 2:.0f}"
        x, y = first.x, middle(first) + HEIGHT / 2
        for place in [*lanes, last]:
            half = HEIGHT / 2 if place is not last else HEIGHT / 2 + 6
            start = middle(place) - half
            path += f" C{x:.0f},{(y + start) / 2:.0f} {place.x:.0f},{(y + start) / 2:.0f}"
            path += f" {place.x:.0f},{start:.0f}"
            if place is not last:
                path += f" V{middle(place) + HEIGHT / 2:.0f}"
            x, y = place.x, middle(place) + HEIGHT / 2
        parts.append(f'<path d="{path}" fill="none" marker-end="url(#tip)"/>')
    for row in rows:
        for place in row:
            if place.name in ALLOWED:
                left = place.x - BOX / 2
                parts.append(_box(left, middle(place) - HEIGHT / 2, BOX, place.name, place.name))
    for title, steps in (
        ("Offline: a bank is built", OFFLINE),
        ("Online: a photo is labelled", ONLINE),
    ):
        parts.append(_title(24, height + 24, f"{title}, step by step, each with its module"))
        parts += _chain(steps, height + 38)
        height += 110
    parts.append("")
    body = "\n".join(parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" \
font-family="system-ui, sans-serif" fill="{INK}" stroke="none">
<title>Rooms of the repository, the imports between them, and the flow of data</title>
<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="2" refY="3" orient="auto">\
<path d="M0,0 L6,3 L0,6 z" fill="{LINE}" stroke="none"/></marker></defs>
<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>
<g stroke="{LINE}" stroke-width="1.4">
{body}</g>
</svg>
"""


def _title(x: float, y: float, words: str) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="15" font-weight="600" stroke="none">'
        f"{html.escape(words)}</text>"
    )


def _box(x: float, y: float, width: float, words: str, room: str, below: str = "") -> str:
    colour = COLOURS[room.partition(".")[0]]
    middle = x + width / 2
    text = (
        f'<text x="{middle:.0f}" y="{y + (18 if below else 26):.0f}" font-size="13" '
        f'text-anchor="middle" stroke="none">{html.escape(words)}</text>'
    )
    if below:
        text += (
            f'<text x="{middle:.0f}" y="{y + 33:.0f}" font-size="10" text-anchor="middle" '
            f'stroke="none">{html.escape(below)}</text>'
        )
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{HEIGHT}" rx="6" '
        f'fill="{colour}"/>{text}'
    )


def _chain(steps: Sequence[tuple[str, str]], y: float) -> list[str]:
    """Steps from left to right with arrows between them, each in the colour of its room."""
    gap = 12
    width = (WIDTH - 2 * 24 - gap * (len(steps) - 1)) / len(steps)
    parts = []
    for number, (words, module) in enumerate(steps):
        path = REPOSITORY / Path(*module.split("."))
        if not path.is_dir() and not path.with_suffix(".py").exists():
            raise ValueError(f"{module} does {words!r} no longer; name the module that does")
        x = 24 + number * (width + gap)
        name = module.rpartition(".")[2]
        parts.append(_box(x, y, width, words, room_of(module) or module, below=name))
        if number:
            line = f"M{x - gap + 1:.0f},{y + HEIGHT / 2:.0f} h{gap - 8}"
            parts.append(f'<path d="{line}" fill="none" marker-end="url(#tip)"/>')
    return parts


def rooms_table() -> str:
    """The rooms as a Markdown table: what each holds, its size, and where it imports from."""
    paths = {module_name(path): path for top in PACKAGES for path in files_of(top)}
    arrows = room_arrows(module_graph())
    rows = [
        "| room | holds | files | lines | imports from (how often) |",
        "|---|---|---:|---:|---|",
    ]
    for room in ALLOWED:
        modules = [module for module in paths if room_of(module) == room]
        lines = sum(
            len((REPOSITORY / paths[one]).read_text("utf-8").splitlines()) for one in modules
        )
        imported = ", ".join(
            f"`{other}` ({number})"
            for (importing, other), number in sorted(arrows.items())
            if importing == room
        )
        place = _main_file(room).relative_to(REPOSITORY).as_posix().removesuffix("__init__.py")
        rows.append(
            f"| `{place}` | {_purpose(room)} | {len(modules)} | {lines:,} | {imported or '-'} |"
        )
    return "\n".join(rows) + "\n"


def _purpose(room: str) -> str:
    """The first paragraph of the docstring of the package, or of the module, as one line."""
    text = ast.get_docstring(ast.parse(_main_file(room).read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def _main_file(room: str) -> Path:
    folder = REPOSITORY / room.replace(".", "/")
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def page(text: str) -> str:
    """The page with the rooms as they are now; ValueError if the marks are not in it."""
    before, found, rest = text.partition(START)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{PAGE.name}: expected {START} and {END}")
    return f"{before}{START}\n\n{rooms_table()}\n{END}{after}"


if __name__ == "__main__":
    write_atomic(PAGE, page(PAGE.read_text(encoding="utf-8")).encode("utf-8"))
    write_atomic(DRAWING, drawing().encode("utf-8"))
