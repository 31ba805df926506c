"""Thumbnails, heat and outlines of images whose answer is known."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from foundation.images.masks import encode_rle
from foundation.images.reading import encode_png
from rim.inspection.report.drawing import Fit, heat, marks, outline, simplified, thumbnail
from schemas.errors import ImageError
from schemas.rle import Rle


def polygons(path: str) -> list[NDArray[np.float64]]:
    """The closed outlines of an SVG path of M, L and Z."""
    assert re.fullmatch(r"(M[-\d. L]+Z)*", path)
    return [
        np.array([[float(number) for number in corner.split()] for corner in one.split("L")])
        for one in re.findall(r"M([^Z]+)Z", path)
    ]


def area(corners: NDArray[np.float64]) -> float:
    x, y = corners.T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), Fit(0, 0, 160, 160)),
        ((64, 32), Fit(0, 40, 160, 80)),
        ((30, 120), Fit(60, 0, 40, 160)),
        ((3000, 1), Fit(0, 79, 160, 1)),
    ],
)
def test_images_fill_their_square_in_one_direction(size: tuple[int, int], expected: Fit) -> None:
    assert Fit.of(size, 160) == expected


@pytest.mark.parametrize("shape", [(64, 64), (512, 384), (5, 200)])
def test_thumbnails_keep_colours_and_places(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    image[:, : shape[1] // 2] = (250, 10, 10)
    image[:, shape[1] // 2 :] = (10, 10, 250)

    thumb, fit = thumbnail(encode_png(image), 160)

    row = thumb[fit.top + fit.height // 2, fit.left : fit.left + fit.width]
    assert np.abs(row[fit.width // 5].astype(int) - (250, 10, 10, 255)).max() <= 2
    assert np.abs(row[-fit.width // 5].astype(int) - (10, 10, 250, 255)).max() <= 2
    assert np.count_nonzero(thumb[..., 3]) == fit.width * fit.height


@pytest.mark.parametrize("data", [b"", b"\x89PNG", encode_png(np.zeros((4, 4), np.uint8))])
def test_what_is_no_rgb_image_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        thumbnail(data, 160)


def test_heat_rises_with_attention() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))

    drawn = heat(encode_png(ramp), Fit.of((256, 256), 64), 64).astype(int)

    brightness = drawn[32, :, :3] @ np.array([0.3, 0.59, 0.11])
    assert (np.diff(brightness) > 0).all()
    assert (np.diff(drawn[32, :, 3]) >= 0).all()
    assert drawn[32, 0, 3] < 80
    assert drawn[32, -1, 3] > 220


def test_heat_of_something_else_is_refused() -> None:
    with pytest.raises(ImageError, match="grey"):
        heat(encode_png(np.zeros((4, 4, 3), np.uint8)), Fit.of((4, 4), 64), 64)


def test_a_rectangle_is_outlined_where_it_is() -> None:
    mask = np.zeros((20, 40), bool)
    mask[5:15, 10:30] = True

    (corners,) = polygons(outline(encode_rle(mask), Fit.of((40, 20), 160)))

    # Four times as large, 40 pixels down.
    assert corners.min(axis=0) == pytest.approx([40, 60], abs=0.6)
    assert corners.max(axis=0) == pytest.approx([120, 100], abs=0.6)
    assert area(corners) == pytest.approx(80 * 40, rel=0.02)


def test_a_mask_that_touches_the_frame_is_closed_along_it() -> None:
    (corners,) = polygons(outline(encode_rle(np.ones((30, 30), bool)), Fit.of((30, 30), 160)))

    assert area(corners) == pytest.approx(160 * 160, rel=0.01)
    assert corners.min() >= 0
    assert corners.max() <= 160


def test_holes_and_pieces_are_outlines_of_their_own() -> None:
    mask = np.zeros((40, 40), bool)
    mask[4:28, 4:28] = True
    mask[12:20, 12:20] = False
    mask[32:38, 32:38] = True

    found = polygons(outline(encode_rle(mask), Fit.of((40, 40), 160)))

    sizes = sorted(area(corners) for corners in found)
    assert sizes == pytest.approx([24**2, 32**2, 96**2], rel=0.05)


def test_an_empty_mask_has_no_outline_and_a_damaged_one_is_refused() -> None:
    assert outline(encode_rle(np.zeros((9, 9), bool)), Fit.of((9, 9), 160)) == ""
    with pytest.raises(ImageError):
        outline(Rle((9, 9), "damaged"), Fit.of((9, 9), 160))


def test_fewer_corners_enclose_the_same_area() -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = 60 * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    fewer = simplified(circle)

    assert len(fewer) <= 50
    assert area(fewer) == pytest.approx(np.pi * 60**2, rel=0.01)
    assert np.hypot(*fewer.T) == pytest.approx(60)


def test_a_star_keeps_its_spikes() -> None:
    angle = np.arange(20) * np.pi / 10
    radius = np.where(np.arange(20) % 2, 20, 60)
    star = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    assert simplified(star) == pytest.approx(star)


def test_points_are_centres_of_pixels() -> None:
    fit = Fit.of((4, 2), 160)

    assert marks([(0, 0), (3, 1)], (4, 2), fit) == (("20", "60"), ("140", "100"))
