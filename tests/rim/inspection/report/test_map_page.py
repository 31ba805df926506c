"""The places of references on the map, and its image."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from rim.inspection.report.map_page import UNIT, Placed, map_image


def test_places_keep_their_proportions() -> None:
    coordinates = np.array([[-1.0, 5.0], [3.0, 5.0], [1.0, 6.0]])

    placed = Placed.of(coordinates)

    assert placed.x.tolist() == [0, UNIT, round(UNIT / 2)]
    assert placed.y.tolist() == [0, 0, round(UNIT / 4)]
    assert (placed.width, placed.height) == (UNIT, round(UNIT / 4))


def test_one_place_is_a_place() -> None:
    placed = Placed.of(np.zeros((1, 2)))

    assert placed.x.tolist() == placed.y.tolist() == [0]


def test_without_scripts_the_map_is_an_image_of_all_points() -> None:
    placed = Placed.of(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0], [2.0, 1.0]]))
    colours = ["#ff0000", "#0000ff"]
    with Image.open(io.BytesIO(map_image(placed, colours, np.array([0, 0, 1, 1])))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    height, width = pixels.shape[:2]
    # A box twice as wide as high, in the middle, 24 pixels from the sides.
    top, left, half = height // 2, width // 2, (width - 48) // 4
    red, blue = [255, 0, 0, 255], [0, 0, 255, 255]
    assert pixels[top + half, 24].tolist() == red
    assert pixels[top + half, width - 25].tolist() == red
    assert pixels[top - half, 24].tolist() == blue
    assert pixels[top, left].tolist() == blue
    assert np.count_nonzero(pixels[..., 3]) < 4 * 100
