"""Palette images and their classes, as other readers see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from query.overlay import category_colour
from rim.evaluation.datasets.base import read_classes
from schemas.errors import OutputError
from tests.query.exports.results import NAMES, random_result, segmentation


def test_a_palette_image_holds_the_numbers_and_shows_the_overlays_colours(
    tmp_path: Path,
) -> None:
    result = random_result(5)
    written = result.save(tmp_path, "photo", ["palette"])
    assert [path.name for path in written] == ["photo.palette.png", "classes.txt"]
    with Image.open(written[0]) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), result.label_map + 1)
        shown = np.asarray(image.convert("RGB"))
    for category_id in NAMES:
        assert {*map(tuple, shown[result.label_map == category_id].tolist())} == {
            category_colour(category_id)
        }
    assert not shown[result.label_map == -1].any(), "unlabelled is black"


def test_line_n_of_the_classes_is_index_n(tmp_path: Path) -> None:
    random_result(5).save(tmp_path, "photo", ["palette"])
    lines = (tmp_path / "classes.txt").read_text("utf-8").split("\n")
    assert lines == ["fish", "(removed 1)", "grün, <b>", "house", ""]
    assert [one.name for one in read_classes(tmp_path / "classes.txt")][3] == "house"


def test_the_last_category_that_fits_a_palette(tmp_path: Path) -> None:
    fits = segmentation(np.array([[254, 0]]), names={0: "fish", 254: "house"})
    (path, _) = fits.save(tmp_path, "photo", ["palette"])
    with Image.open(path) as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == [[255, 1]]
    more = segmentation(np.array([[0]]), names={0: "fish", 255: "house"})
    with pytest.raises(OutputError, match="below 255 in an 8-bit palette image, found 255"):
        more.save(tmp_path, "other", ["labels", "palette"])
    assert not list(tmp_path.glob("other*")), "refused before anything is written"
