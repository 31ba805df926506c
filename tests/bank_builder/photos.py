"""Folders of photos that the stand-in models can look at: a coloured square on grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.bank_builder.stand_in import GREY, SIZE, colour_of

SQUARE = (slice(8, 20), slice(12, 24))  # rows, columns; whole patches, and the middle is in it


def photo(name: str, shade: int = 0) -> np.ndarray:
    """A square of a category's colour; shade makes photos of one category differ."""
    image = np.full((SIZE, SIZE, 3), GREY + shade, np.uint8)
    image[SQUARE] = colour_of(name)
    return image


def save(folder: Path, file: str, image: np.ndarray, mask: np.ndarray | None = None) -> None:
    """Writes a photo as PNG, whatever its ending, and the mask beside it."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="PNG")
    if mask is not None:
        Image.fromarray(mask).save(path.with_name(f"{path.stem}.mask.png"))


def fill(folder: Path, *names: str, count: int = 4) -> Path:
    """Photos a.png, b.png, ... of each category; returns the folder."""
    for name in names:
        for shade, letter in enumerate("abcdefgh"[:count]):
            save(folder, f"{name}/{letter}.png", photo(name, shade))
    return folder
