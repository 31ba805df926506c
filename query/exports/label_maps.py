"""Formats `labels`, `overlay`, `palette`: the label map in 16 bits, over the photo, in colours."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from foundation.images.reading import encode_png
from query.exports.base import FinishedRun, ResultFile, Target, check_largest, label_of
from query.overlay import category_colour, draw_overlay
from query.result import LabelledPhoto
from schemas.store.files import write_atomic

LARGEST_LABEL = 65535
LARGEST_PALETTE_LABEL = 255
CLASSES = "classes.txt"


def labels_path(name: str) -> str:
    """The label map's file."""
    return f"{name}.labels.png"


def overlay_path(name: str) -> str:
    """The overlay's file."""
    return f"{name}.overlay.png"


def palette_path(name: str) -> str:
    """The palette image's file."""
    return f"{name}.palette.png"


def encode_labels(result: LabelledPhoto, target: Target) -> list[ResultFile]:
    """Makes NAME.labels.png, 16 bits a pixel: 0 unlabelled, otherwise category_id + 1.

    Raises OutputError if a category_id of the bank does not fit.
    """
    check_largest("a 16-bit label map", result.category_names, LARGEST_LABEL)
    labels = label_of(result.label_map.astype(np.int64)).astype(np.uint16)
    return [ResultFile(labels_path(target.name), encode_png(labels))]


def encode_overlay(result: LabelledPhoto, target: Target) -> list[ResultFile]:
    """Makes NAME.overlay.png, the photo with its labels drawn over it."""
    overlay = draw_overlay(result.image, result.label_map, result.category_names)
    return [ResultFile(overlay_path(target.name), encode_png(overlay))]


def encode_palette(result: LabelledPhoto, target: Target) -> list[ResultFile]:
    """Makes NAME.palette.png, 8 bits a pixel, and `classes.txt`.

    Index 0 is unlabelled (black), otherwise it is category_id + 1. The colours are those of the
    overlay, the same in every photo and every bank.

    Raises OutputError if a category_id of the bank is 255 or above.
    """
    check_largest("an 8-bit palette image", result.category_names, LARGEST_PALETTE_LABEL)
    labels = label_of(result.label_map.astype(np.int64)).astype(np.uint8)
    image = Image.fromarray(labels)
    colours = [(0, 0, 0), *(category_colour(i) for i in range(LARGEST_PALETTE_LABEL))]
    image.putpalette(bytes(channel for colour in colours for channel in colour))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=6)
    return [
        ResultFile(palette_path(target.name), buffer.getvalue()),
        ResultFile(CLASSES, class_list(result.category_names)),
    ]


def write_classes(run: FinishedRun) -> None:
    """Writes `classes.txt` of a run."""
    write_atomic(run.folder / CLASSES, class_list(run.names))


def class_list(names: Mapping[int, str]) -> bytes:
    """Makes `classes.txt`: line n, from 1, names palette index n, which is category_id + 1.

    The line of a category that was removed from the bank says so.
    """
    last = max(names, default=-1)
    lines = [names.get(i, f"(removed {i})") for i in range(last + 1)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")
