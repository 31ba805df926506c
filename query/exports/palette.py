"""Format `palette`: the label map as a palette PNG, which any viewer shows in colours."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from query.exports.base import ResultFile, Target, check_largest, label_of
from query.overlay import category_colour

if TYPE_CHECKING:
    from query.result import Segmentation

LARGEST_LABEL = 255
CLASSES = "classes.txt"


def palette_path(name: str) -> str:
    """The palette picture's file."""
    return f"{name}.palette.png"


def encode_palette(segmentation: Segmentation, target: Target) -> list[ResultFile]:
    """NAME.palette.png, 8 bits a pixel: 0 unlabelled (black), otherwise category_id + 1.

    The colours are those of the overlay, the same in every photo and every bank.

    Raises OutputError if a category_id of the bank is 255 or above.
    """
    check_largest("an 8-bit palette picture", segmentation.category_names, LARGEST_LABEL)
    labels = label_of(segmentation.label_map.astype(np.int64)).astype(np.uint8)
    picture = Image.fromarray(labels)
    colours = [(0, 0, 0), *(category_colour(i) for i in range(LARGEST_LABEL))]
    picture.putpalette(bytes(channel for colour in colours for channel in colour))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=6)
    return [ResultFile(palette_path(target.name), buffer.getvalue())]


def class_list(names: Mapping[int, str]) -> bytes:
    """`classes.txt`: line n, from 1, names palette index n, which is category_id + 1.

    The line of a category that was removed from the bank says so.
    """
    last = max(names, default=-1)
    lines = [names.get(i, f"(removed {i})") for i in range(last + 1)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")
