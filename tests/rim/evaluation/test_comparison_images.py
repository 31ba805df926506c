"""Photo, truth and prediction side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from query.overlay import draw_overlay
from rim.evaluation.comparison_images import ComparisonFolder, comparison
from rim.evaluation.datasets.base import Sample

NAMES = {0: "cat", 1: "dog"}
SIDE = 96
PHOTO = np.full((SIDE, SIDE, 3), 60, dtype=np.uint8)
TRUTH = np.zeros((SIDE, SIDE), dtype=np.int32)
TRUTH[:, 48:] = 1
GUESS = TRUTH.copy()


def parts(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert image.shape == (SIDE, 3 * SIDE + 8, 3)
    return image[:, :SIDE], image[:, SIDE + 4 : 2 * SIDE + 4], image[:, 2 * SIDE + 8 :]


def test_the_same_classes_look_the_same_and_as_in_an_overlay() -> None:
    left, middle, right = parts(comparison(PHOTO, TRUTH, GUESS, NAMES))
    np.testing.assert_array_equal(left, PHOTO)
    np.testing.assert_array_equal(middle, draw_overlay(PHOTO, TRUTH, NAMES))
    np.testing.assert_array_equal(middle, right)


def test_ignored_and_unlabelled_pixels_look_like_no_class() -> None:
    truth, guess = TRUTH.copy(), GUESS.copy()
    truth[60:], guess[60:] = 255, -1
    _, middle, right = parts(comparison(PHOTO, truth, guess, NAMES, ignore=255))
    assert {tuple(colour) for colour in middle[60:].reshape(-1, 3).tolist()} == {
        (255, 255, 255),
        (128, 128, 128),
    }
    assert not right[60:].any()
    assert right[:60].reshape(-1, 3).any(axis=1).all()


def test_only_chosen_images_are_drawn(tmp_path: Path) -> None:
    folder = ComparisonFolder(tmp_path / "new", frozenset({"a", "b"}), ("cat", "dog"))
    for name in ("a", "c"):
        folder.draw(Sample(name, PHOTO, TRUTH), GUESS.astype(np.int64))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
    assert folder.missing() == {"b"}
    with Image.open(tmp_path / "new" / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), comparison(PHOTO, TRUTH, GUESS, NAMES))
