"""The overlay: a photo with its labels in distinct colours, with outlines and readable names."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from schemas.ids import UNLABELLED

Box = tuple[int, int, int, int]

MIN_NAMED_AREA = 0.01
"""A connected piece of at least this fraction of the photo gets a name of its own."""

# Found by search: the first 40 colours are at least 15 apart in CIE Lab, the first 22 are 22.
_HUE_STEP = 0.5549581
_SHADES = ((1.0, 1.0), (0.35, 0.7), (1.0, 0.7), (0.75, 0.5), (0.35, 1.0))  # saturation, value
_SEARCH_SIDE = 512  # places for names are sought in a label map of about this size


def category_colour(category_id: int) -> tuple[int, int, int]:
    """The RGB colour of a category, each 0..255; the same in every photo and every bank.

    From one id to the next both the hue and the shade change.
    """
    saturation, value = _SHADES[category_id % len(_SHADES)]
    rgb = colorsys.hsv_to_rgb(category_id * _HUE_STEP % 1, saturation, value)
    red, green, blue = (round(255 * channel) for channel in rgb)
    return red, green, blue


def draw_overlay(
    image: NDArray[np.uint8], label_map: NDArray[np.int32], names: Mapping[int, str]
) -> NDArray[np.uint8]:
    """Draws a label map over its photo.

    Labelled pixels are half photo and half their category's colour, borders between labels are
    white, and the name of every visible category is written at least once, if there is room, in
    the middle of its largest piece. Unlabelled pixels stay as they are.

    Args:
        image: uint8 (H, W, 3).
        label_map: (H, W) int32 category ids, -1 unlabelled.
        names: by category_id, for all ids in the map.

    Returns:
        uint8 (H, W, 3).
    """
    drawn = _tinted(image, label_map)
    drawn[_borders(label_map)] = 255
    canvas = Image.fromarray(drawn)
    draw = ImageDraw.Draw(canvas)
    height, width = label_map.shape
    font = ImageFont.load_default(size=max(10, min(height, width) // 24))
    taken: list[Box] = []
    for category_id, centre in name_places(label_map):
        box = _free_box(draw.textbbox((0, 0), names[category_id], font), centre, canvas.size, taken)
        if box is not None:
            taken.append(box)
            _draw_name(draw, names[category_id], box, font, category_colour(category_id))
    return np.asarray(canvas, dtype=np.uint8)


def _tinted(image: NDArray[np.uint8], label_map: NDArray[np.int32]) -> NDArray[np.uint8]:
    ids, inverse = np.unique(label_map, return_inverse=True)
    colours = [(0, 0, 0) if i == UNLABELLED else category_colour(i) for i in ids.tolist()]
    tint = np.array(colours, dtype=np.uint8)[inverse].reshape(image.shape)
    # Halves in 8 bits: as floats a photo of 100 megapixels would need gigabytes.
    mixed = image // 2 + tint // 2
    return np.where((label_map == UNLABELLED)[:, :, None], image, mixed)


def _borders(label_map: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(H, W) bool: pixels whose right or lower neighbour has another label, thicker if large."""
    border = np.zeros(label_map.shape, dtype=bool)
    border[:, :-1] |= label_map[:, :-1] != label_map[:, 1:]
    border[:-1] |= label_map[:-1] != label_map[1:]
    thickness = min(label_map.shape) // 600
    if thickness:
        border = np.asarray(ndimage.binary_dilation(border, iterations=thickness))
    return border


def name_places(label_map: NDArray[np.int32]) -> list[tuple[int, tuple[int, int]]]:
    """(category_id, (x, y) of the most inner pixel) of pieces worth a name, largest first.

    First the largest piece of every category, then the other pieces.
    """
    step = max(1, max(label_map.shape) // _SEARCH_SIDE)
    small = label_map[::step, ::step]
    first: list[tuple[int, int, tuple[int, int]]] = []
    further: list[tuple[int, int, tuple[int, int]]] = []
    for category_id in np.unique(small[small != UNLABELLED]).tolist():
        pieces, count = ndimage.label(small == category_id)
        areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        for rank, piece in enumerate(np.argsort(-areas, kind="stable")):
            if rank > 0 and areas[piece] < MIN_NAMED_AREA * small.size:
                break
            # Padded, so that the photo's edge counts as an edge of the piece.
            inside = ndimage.distance_transform_edt(np.pad(pieces == piece + 1, 1))[1:-1, 1:-1]
            y, x = divmod(int(inside.argmax()), small.shape[1])
            place = (int(areas[piece]), category_id, (x * step, y * step))
            (further if rank else first).append(place)
    ordered = [*sorted(first, reverse=True), *sorted(further, reverse=True)]
    return [(category_id, centre) for _, category_id, centre in ordered]


def _free_box(
    text: tuple[float, float, float, float],
    centre: tuple[int, int],
    size: tuple[int, int],
    taken: list[Box],
) -> Box | None:
    """A box (left, top, right, bottom) for a name, inside the photo and over no other name.

    At the centre if that is free, otherwise a little above or below.
    """
    pad = 2
    width, height = round(text[2] - text[0]) + 2 * pad, round(text[3] - text[1]) + 2 * pad
    for shift in (0, -1, 1, -2, 2):
        left = min(max(centre[0] - width // 2, 0), max(size[0] - width, 0))
        top = centre[1] - height // 2 + shift * (height + 1)
        top = min(max(top, 0), max(size[1] - height, 0))
        box = (left, top, left + width, top + height)
        if not any(_touch(box, other) for other in taken):
            return box
    return None


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_name(
    draw: ImageDraw.ImageDraw,
    name: str,
    box: Box,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    colour: tuple[int, int, int],
) -> None:
    """White letters on a dark plate, edged with the category's colour: readable on any photo."""
    draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=(20, 20, 20), outline=colour)
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    draw.text(centre, name, font=font, fill=(255, 255, 255), anchor="mm")
