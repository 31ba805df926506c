"""The pages in a real browser, from the disk: nothing is refused, and the scripts do their work."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rim.inspection.report.cards import image_layout
from rim.inspection.report.overview import summarise_categories
from rim.inspection.report.similarity import measure_similarity
from schemas.ids import unpack_image_id
from tests.rim.inspection.report.conftest import Written
from tests.rim.inspection.report.examples import COLOURS, NAMES

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PROBE = Path(__file__).with_name("probe.js")
PAGES = (
    "index.html",
    "map.html#category-00005",
    "similarity.html",
    "categories/category-00003.html",
)
_HARNESS = """<!doctype html><meta charset="utf-8"><pre id="found"></pre>
<script>
const found = [];
window.addEventListener("message", (event) => {
  found.push(event.data);
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    for name in BROWSERS:
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip(f"none of the browsers {', '.join(BROWSERS)} is installed")


def run(browser: str, page: Path, work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Opens a page from the disk in a fresh profile."""
    command = [
        *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000"),
        *(f"--user-data-dir={work / 'profile'}", "--virtual-time-budget=15000"),
        *("--enable-logging=stderr", *options, page.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)


def dom_of(browser: str, page: Path, work: Path) -> tuple[str, str]:
    """A page as the browser has it after its scripts, and what it wrote to its console."""
    ended = run(browser, page, work, "--dump-dom")
    console = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
    return ended.stdout, "\n".join(console)


@pytest.fixture(scope="module")
def seen(
    written: Written, browser: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What the probe saw in each page, all pages side by side in one browser."""
    work = tmp_path_factory.mktemp("browser")
    folder = Path(shutil.copytree(written.folder, work / "report with spaces & ümlauts"))
    shutil.copy(PROBE, folder / "data")
    for page in (page.partition("#")[0] for page in PAGES):
        root = "../" * page.count("/")
        text = (folder / page).read_text(encoding="utf-8")
        script = f'<script defer src="{root}data/probe.js"></script></head>'
        (folder / page).write_text(text.replace("</head>", script), encoding="utf-8")
    frames = "".join(
        f'<iframe src="{page}" width="{width}" height="900"></iframe>'
        for width in (1200, 400)
        for page in PAGES
    )
    (folder / "harness.html").write_text(_HARNESS + frames, encoding="utf-8")
    dom, console = dom_of(browser, folder / "harness.html", work)
    assert console == ""
    match = re.search(r'<pre id="found">(.*?)</pre>', dom, re.S)
    assert match is not None
    pages = json.loads(html.unescape(match[1]))
    assert len(pages) == 2 * len(PAGES)
    assert [page["page"] for page in pages if page["wide"] > 0] == [], "wider than the window"
    return {page["page"].partition(" ")[0].lower(): page for page in pages if not page["narrow"]}


def test_nothing_is_refused_and_every_image_loads(seen: dict[str, dict[str, Any]]) -> None:
    for page in seen.values():
        assert page["refused"] == []
        assert page["font"] == "16px", "the style sheet counts"
        assert None not in page["images"]


def test_hover_on_the_map_shows_each_reference_s_image(
    written: Written, seen: dict[str, dict[str, Any]]
) -> None:
    similarity = measure_similarity(written.bank)
    categories = {
        one.category_id: one
        for one in summarise_categories(written.bank, written.bank.categories, similarity)
    }
    hovered = seen["map"]["hovered"]
    # Nearly all: some lie under others.
    assert len(hovered) >= 0.8 * len(similarity.standings)
    for text, (name, href, left, top, width, height) in hovered.items():
        number, image_id = re.fullmatch(r"#(\d+) · (\d+)", text).groups()
        key = unpack_image_id(int(image_id))
        assert key.number == int(number)
        assert name == NAMES[key.category_id]
        own = categories[key.category_id]
        cell = image_layout(own).cell(own.image_ids.index(int(image_id)))
        assert href == f"pictures/{cell.name}"
        assert (-int(left), -int(top)) == (cell.x, cell.y)
        assert (int(width), int(height)) == (cell.sheet_width, cell.sheet_height)
    sizes = [[int(own[4]), int(own[5])] for own in hovered.values()]
    assert seen["map"]["tipSizes"] == sizes


def test_keys_step_through_what_is_highlighted(seen: dict[str, dict[str, Any]]) -> None:
    assert seen["map"]["highlighted"] == [False, True, False], "by the address, then none"
    assert seen["map"]["stepped"] == NAMES[8]


def test_the_matrix_says_which_pair_it_is(
    written: Written, seen: dict[str, dict[str, Any]]
) -> None:
    similarity = measure_similarity(written.bank)
    order = similarity.order()
    first, second = (NAMES[int(similarity.category_ids[order[place]])] for place in (0, 2))
    cosine = similarity.cosine[order[0], order[2]]
    text = f"{first} × {second}  {cosine:.2f}".replace("-", "−")  # noqa: RUF001
    assert seen["similarity"]["readout"] == text


def test_tables_sort_and_filter(seen: dict[str, dict[str, Any]]) -> None:
    for name in ("overview", "similarity"):
        assert seen[name]["down"] == sorted(seen[name]["down"], reverse=True)
        assert seen[name]["up"] == sorted(seen[name]["up"])
    assert seen["overview"]["filtered"] >= 1
    assert seen["similarity"]["filtered"] >= 2


def test_switches_need_no_script(seen: dict[str, dict[str, Any]]) -> None:
    assert seen["house"]["heat"] == ["none", "inline", "inline", "none"]


def test_the_mask_is_an_outline_and_the_image_is_seen_through_it(
    written: Written, browser: str, tmp_path: Path
) -> None:
    page = written.folder / "categories" / "category-00003.html"
    shot = tmp_path / "shot.png"
    run(browser, page, tmp_path, f"--screenshot={shot}", "--hide-scrollbars")
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)

    def near(colour: tuple[int, int, int]) -> int:
        return int((np.abs(pixels - colour).max(axis=2) <= 12).sum())

    # Each thumbnail shown whole, at least 150 pixels wide and half as high, is nearly all image.
    thumbs = near(COLOURS[3]) / (150 * 75)
    assert thumbs > 4
    assert near((255, 45, 135)) > 4 * 100, "a line of some pixels about each disc"
    assert near((0, 0, 0)) < 2000
