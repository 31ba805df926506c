"""Polygons, filled again by somebody else's code, are the masks that they were traced around."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.draw import polygon2mask

from foundation.images.masks import mask_iou
from query.exports import polygons
from query.exports.labelme import LEAST_PIXELS, encode_labelme
from query.exports.polygons import piece_polygon
from tests.query.exports.results import blob, random_result, region, segmentation, target


def refilled(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels whose centres, half a pixel from their corners, lie within."""
    return np.asarray(polygon2mask(shape, np.asarray(points)[:, ::-1] - 0.5))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


RING = drawn("#####", "#...#", "#...#", "#####")
SHAPES = {
    "pixel": drawn("#"),
    "line": drawn("#" * 30),
    "column": drawn(*"#" * 30),
    "corner": drawn("#.....", "#.....", "#.....", "######"),
    "ring": RING,
    "two holes": drawn("#######", "#.###.#", "#######"),
    "holes that touch": drawn("######", "#.####", "##.###", "######"),
    "thin wall": drawn("#########", "#.......#", "#########"),
    "diamond": np.add.outer(np.abs(np.arange(21) - 10), np.abs(np.arange(21) - 10)) <= 10,
    "comb": np.pad(np.tile(drawn("#.", "#.", "#."), (1, 12)), ((1, 0), (0, 0)),
                   constant_values=True),
    "disc in the frame": np.hypot(*np.mgrid[-15:16, -15:16]) > 8,
    "spiral": drawn("#########", "........#", "#######.#", "#.....#.#", "#.###.#.#", "#.#...#.#",
                    "#.#####.#", "#.......#", "#########"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_odd_shapes_come_back(name: str) -> None:
    mask = SHAPES[name]
    assert ndimage.label(mask)[1] == 1
    points = piece_polygon(mask)
    assert points.shape[1] == 2
    assert (points >= 0).all()
    assert (points <= mask.shape[::-1]).all()
    assert mask_iou(refilled(points, mask.shape), mask) > 0.95


def test_chance_shapes_come_back_within_a_pixel() -> None:
    random = np.random.default_rng(4)
    for _ in range(25):
        numbered, number = ndimage.label(blob(random, (50, 70), random.uniform(0.2, 0.8)))
        for i in range(1, number + 1):
            piece = numbered == i
            again = refilled(piece_polygon(piece), piece.shape)
            assert mask_iou(again, piece) > 0.95
            far_out = ndimage.distance_transform_edt(~piece)
            far_in = ndimage.distance_transform_edt(piece)
            assert far_out[again].max(initial=0) <= np.sqrt(2)
            assert far_in[~again].max(initial=0) <= np.sqrt(2)


def test_without_simplifying_they_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygons, "TOLERANCE", 0.0)
    for mask in SHAPES.values():
        np.testing.assert_array_equal(refilled(piece_polygon(mask), mask.shape), mask)


def test_a_rectangle_needs_few_points_and_a_disc_not_many_more() -> None:
    assert len(piece_polygon(np.ones((40, 90), dtype=bool))) <= 8
    assert len(piece_polygon(np.hypot(*np.mgrid[-40:41, -40:41]) < 40)) < 40


def test_the_coordinates_are_those_of_the_image() -> None:
    """A block from x = 10 to 30, y = 5 to 12."""
    mask = np.zeros((20, 40), dtype=bool)
    mask[5:12, 10:30] = True
    points = piece_polygon(mask)
    np.testing.assert_allclose(points.min(axis=0), (10, 5), atol=0.51)
    np.testing.assert_allclose(points.max(axis=0), (30, 12), atol=0.51)


def content(result, folder: Path, photo: Path | None = None) -> dict:
    (file,) = encode_labelme(result, target(folder, photo))
    assert file.path == "a0.labelme.json"
    return json.loads(file.data.decode("utf-8"))


def test_the_file_has_what_labelme_5_asks_for(tmp_path: Path) -> None:
    result = random_result(3)
    found = content(result, tmp_path / "out", tmp_path / "photos" / "ä b.jpg")
    assert found["version"].startswith("5.")
    assert found["flags"] == {}
    assert (found["imageHeight"], found["imageWidth"]) == (40, 60)
    assert found["imagePath"] == "../photos/ä b.jpg"
    assert found["imageData"] is None
    for shape in found["shapes"]:
        assert shape["shape_type"] == "polygon"
        assert shape["flags"] == {}
        assert shape["label"] in result.category_names.values()
        assert len(shape["points"]) >= 3
        if shape["group_id"] is not None:
            assert result.regions[shape["group_id"]].category == shape["label"]


def test_a_photo_in_no_file_is_put_into_it(tmp_path: Path) -> None:
    found = content(random_result(3), tmp_path)
    data = io.BytesIO(base64.b64decode(found["imageData"]))
    with Image.open(data) as image:
        np.testing.assert_array_equal(np.asarray(image), random_result(3).image)


@pytest.mark.parametrize("seed", range(4))
def test_the_shapes_are_the_label_map_and_do_not_overlap(tmp_path: Path, seed: int) -> None:
    """Simplified outlines may meet by a pixel; specks are left out."""
    result = random_result(seed, (90, 120), coarse=4)
    times = np.zeros((90, 120), int)
    painted = np.full((90, 120), -1)
    ids = {name: category_id for category_id, name in result.category_names.items()}
    for shape in content(result, tmp_path)["shapes"]:
        filled = refilled(shape["points"], painted.shape)
        times += filled
        painted[filled] = ids[shape["label"]]
    assert (painted == result.label_map).mean() > 0.97
    assert (times > 1).mean() < 0.01


def test_pillow_as_labelme_uses_it_fills_the_same(tmp_path: Path) -> None:
    """It fills the outline too, one pixel more at the right and below."""
    mask = SHAPES["disc in the frame"]
    result = segmentation(np.where(mask, 3, -1), [region(mask, 3, 0.5)])
    (shape,) = content(result, tmp_path)["shapes"]
    canvas = Image.new("L", mask.shape[::-1])
    points = [tuple(point) for point in shape["points"]]
    ImageDraw.Draw(canvas).polygon(points, outline=1, fill=1)
    filled = np.asarray(canvas) > 0
    assert not filled[10:21, 10:21].any(), "the hole is one"
    assert ndimage.distance_transform_edt(~mask)[filled].max() <= np.sqrt(2)


def test_pieces_of_a_region_are_a_group_and_nested_ones_of_its_category_join_it(
    tmp_path: Path,
) -> None:
    whole = np.zeros((20, 40), dtype=bool)
    whole[4:16, 2:38] = True
    part = np.zeros_like(whole)
    part[6:14, 5:12] = True  # of the same category, with a better score
    labels = np.where(whole, 3, -1)
    labels[:, 18:22] = 0  # something in front cuts it in two
    labels[19, 39] = 2  # a speck
    alone = np.zeros_like(whole)
    alone[:3, 25:35] = True
    labels[alone] = 3  # named as patches, without a region
    shapes = content(segmentation(labels, [region(part, 3, 0.9), region(whole, 3, 0.8)]), tmp_path)[
        "shapes"
    ]
    found = [(one["label"], one["group_id"], one["description"]) for one in shapes]
    assert found == [
        ("fish", None, ""),
        ("house", None, ""),
        ("house", 1, "score 0.800"),
        ("house", 1, "score 0.800"),
    ]
    assert LEAST_PIXELS > 1
