"""Sprite sheets: every thumbnail is where its page says, and looks like its image."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rim.inspection.report.sheets import Layout, SheetWriter
from tests.rim.inspection.report.conftest import Written
from tests.rim.inspection.report.examples import COLOURS, disc


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA")).astype(int)


def test_cells_fill_rows_then_sheets() -> None:
    layout = Layout("name", 7, side=10, columns=2, rows=2)
    places = [(cell.name, cell.x, cell.y) for cell in map(layout.cell, range(7))]
    assert places == [
        *(("name-0.webp", x, y) for y in (0, 10) for x in (0, 10)),
        *(("name-1.webp", x, y) for x, y in ((0, 0), (10, 0), (0, 10))),
    ]
    assert [layout.size(sheet) for sheet in (0, 1)] == [(20, 20), (20, 20)]
    assert Layout("name", 1, side=10).size(0) == (10, 10)


@pytest.mark.parametrize("left_out", [frozenset(), frozenset({0, 3, 4})])
def test_images_come_back_from_their_cells(tmp_path: Path, left_out: frozenset[int]) -> None:
    layout = Layout("sheet", 7, side=16, columns=2, rows=2)
    colours = np.random.default_rng(0).integers(0, 256, (7, 3))
    given = [position for position in range(7) if position not in left_out]
    with SheetWriter(tmp_path, layout) as writer:
        for position in given:
            image = np.full((16, 16, 4), 255, np.uint8)
            image[..., :3] = colours[position]
            writer.put(position, image)
    for position in range(7):
        cell = layout.cell(position)
        found = pixels(tmp_path / cell.name)
        assert found.shape[:2] == (cell.sheet_height, cell.sheet_width)
        middle = found[cell.y + 8, cell.x + 8]
        if position in given:
            assert np.abs(middle[:3] - colours[position]).max() <= 12
            assert middle[3] == 255
        else:
            assert middle[3] == 0


def test_a_sheet_without_images_is_no_file(tmp_path: Path) -> None:
    with SheetWriter(tmp_path, Layout("sheet", 7, side=16, columns=2, rows=2)) as writer:
        writer.put(5, np.full((16, 16, 4), 255, np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["sheet-1.webp"]


@pytest.mark.parametrize("category_id", [3, 5])
def test_thumbnails_on_a_page_are_pixels_of_the_bank(written: Written, category_id: int) -> None:
    """What a browser would show: the part of the sheet that the page's `image` moves into view."""
    page = written.pages[f"categories/category-{category_id:05d}.html"]
    shown = [own for tag, own in page.tags if tag == "image" and "/category-" in own["href"]]
    images = [own for own in shown if "attention" not in own["href"]]
    heats = [own for own in shown if "attention" in own["href"]]
    assert len(images) == len(heats) == {3: 11, 5: 3}[category_id]
    for own in images:
        sheet = pixels(written.folder / "categories" / own["href"])
        assert sheet.shape[:2] == (int(own["height"]), int(own["width"]))
        left, top = -int(own["x"]), -int(own["y"])
        # An image of 48 x 24 lies in the middle of its square of 160.
        thumb = sheet[top : top + 160, left : left + 160]
        assert np.abs(thumb[80, [5, 80, 154], :3] - COLOURS[category_id]).max() <= 10
        assert thumb[[5, 154], 80, 3].tolist() == [0, 0]


def test_attention_is_hot_where_the_map_is(written: Written) -> None:
    page = written.pages["categories/category-00003.html"]
    heats = [own for tag, own in page.tags if tag == "image" and "attention" in own["href"]]
    for own in heats:
        sheet = pixels(written.folder / "categories" / own["href"])
        times = float(own["width"]) / sheet.shape[1]
        left, top = -float(own["x"]) / times, -float(own["y"]) / times
        side = 160 / times
        middle = sheet[int(top + side / 2), int(left + side / 2)]
        edge = sheet[int(top + side / 2), int(left + 0.06 * side)]
        assert middle[3] > 200 > 100 > edge[3]
        assert middle[:3].sum() > edge[:3].sum() + 300


def test_points_and_outline_lie_over_the_image(written: Written) -> None:
    page = written.pages["categories/category-00003.html"]
    circles = [own for tag, own in page.tags if tag == "circle"]
    # (24, 12) and (30, 12) of 48 x 24, in a square of 160 with 40 above and below.
    scale = 160 / 48
    assert {(own["cx"], own["cy"]) for own in circles} == {
        (f"{24.5 * scale:.1f}", f"{40 + 12.5 * scale:.1f}"),
        (f"{30.5 * scale:.1f}", f"{40 + 12.5 * scale:.1f}"),
    }
    paths = {own["d"] for tag, own in page.tags if tag == "path"}
    assert len(paths) == 1
    corners = np.array(
        [[float(x) for x in pair.split()] for pair in re.split("[MLZ]", paths.pop()) if pair]
    )
    x, y = corners.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(disc().sum() * scale**2, rel=0.02)
    assert corners.mean(axis=0) == pytest.approx([80, 80], abs=2)
