"""Tiny data sets in the official layouts: photos and label maps of a few pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

Rows = Sequence[Sequence[int]]
PALETTE = tuple((7 * i) % 256 for i in range(3 * 256))  # any colours


def photo(path: Path, labels: Rows) -> None:
    """A grey photo of the labels' size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (len(labels[0]), len(labels)), (90, 90, 90)).save(path)


def palette_png(path: Path, labels: Rows) -> None:
    """A label map as VOC has it: indices into a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.array(labels, dtype=np.uint8)
    image = Image.frombytes("P", (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    image.putpalette(PALETTE)
    image.save(path)


def grey_png(path: Path, labels: Rows) -> None:
    """A label map of 8 bits a pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(labels, dtype=np.uint8)).save(path)


def grey_16(path: Path, labels: Rows) -> None:
    """A label map of 16 bits a pixel; PNG or TIFF by the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(labels, dtype=np.uint16)).save(path)


def mat(path: Path, labels: Rows) -> None:
    """A label map as PASCAL Context has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"LabelMap": np.array(labels, dtype=np.uint16)}, do_compression=True)


def lines(path: Path, words: Sequence[str]) -> Path:
    """A text file of lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return path


def write_voc(parent: Path, truths: Mapping[str, Rows]) -> Path:
    """VOCdevkit/VOC2012 with these images in val.txt, and one more image that is in no list."""
    folder = parent / "VOCdevkit" / "VOC2012"
    for name, labels in {**truths, "2007_999999": [[1, 1]]}.items():
        photo(folder / "JPEGImages" / f"{name}.jpg", labels)
        palette_png(folder / "SegmentationClass" / f"{name}.png", labels)
    lines(folder / "ImageSets" / "Segmentation" / "val.txt", list(truths))
    return folder
