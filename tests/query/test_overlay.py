"""Overlays: labels can be told apart and read, and unlabelled pixels are left alone."""

from __future__ import annotations

import numpy as np
from skimage.color import rgb2lab

from query.overlay import category_colour, draw_overlay

NAMES = {0: "house", 5: "grass", 9: "a name that is far too long to fit into the image"}


def test_the_first_colours_can_be_told_apart() -> None:
    colours = np.array([category_colour(i) for i in range(40)]) / 255
    lab = rgb2lab(colours[None])[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1000 * np.eye(40)
    assert distance.min() > 15
    assert distance[:22, :22].min() > 22


def test_labelled_pixels_are_tinted_and_unlabelled_ones_are_not() -> None:
    image = np.full((60, 80, 3), 100, np.uint8)
    labels = np.full((60, 80), -1, np.int32)
    labels[:, 40:] = 5
    overlay = draw_overlay(image, labels, NAMES)
    assert overlay.shape == image.shape
    assert overlay.dtype == np.uint8
    np.testing.assert_array_equal(overlay[:, :38], 100)
    np.testing.assert_array_equal(overlay[0, 45], 50 + np.array(category_colour(5)) // 2)
    assert (overlay[:, 39] == 255).all(), "a white border"
    assert image.min() == image.max() == 100, "the photo itself is not drawn on"


def test_names_are_written_inside_their_region() -> None:
    image = np.full((200, 300, 3), 128, np.uint8)
    labels = np.zeros((200, 300), np.int32)
    labels[:, 150:] = 5
    plate = (draw_overlay(image, labels, NAMES) == 20).all(axis=2)
    assert plate[:, :150].sum() > 100
    assert plate[:, 150:].sum() > 100
    assert not plate[:, 145:155].any()


def test_names_do_not_cover_each_other() -> None:
    image = np.full((100, 100, 3), 128, np.uint8)
    labels = np.zeros((100, 100), np.int32)
    labels[45:55, 45:55] = 5
    alone = (draw_overlay(image, np.where(labels == 5, -1, labels), NAMES) == 20).all(axis=2)
    both = (draw_overlay(image, labels, NAMES) == 20).all(axis=2)
    assert both.sum() > 1.5 * alone.sum()


def test_any_size_and_any_name() -> None:
    for size in [(1, 1), (3, 500), (700, 20), (1300, 900)]:
        image = np.zeros((*size, 3), np.uint8)
        assert draw_overlay(image, np.full(size, 9, np.int32), NAMES).shape == image.shape
    nothing = np.full((5, 5), -1, np.int32)
    assert not draw_overlay(np.zeros((5, 5, 3), np.uint8), nothing, {}).any()
