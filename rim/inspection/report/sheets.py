"""Writes sprite sheets: many small images in one file, so that a large bank has few files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL: Final = 160
"""Side of a reference's thumbnail in pixels."""
HEAT: Final = 64
"""Side of its attention map: smooth, so it is stored small and shown as large as the thumbnail."""
COVER: Final = 96
"""Side of the image that stands for a category."""

_QUALITY = 80
_METHOD = 1  # libwebp's 0 (fast) to 6 (small); 3 takes three times as long for 5 % less


@dataclass(frozen=True)
class Cell:
    """Where one image lies: x, y, sheet_width, sheet_height in pixels of the file `name`."""

    name: str
    x: int
    y: int
    side: int
    sheet_width: int
    sheet_height: int


@dataclass(frozen=True)
class Layout:
    """Which cell of which file the image number 0..count - 1 of a series has.

    The files are NAME-0.webp, NAME-1.webp, ...; each has rows of `columns` square cells, `side`
    pixels wide, the last file as few rows as it needs. They stay below WebP's 16,383 pixels.
    """

    name: str
    count: int
    side: int = THUMBNAIL
    columns: int = 10
    rows: int = 10

    @property
    def per_sheet(self) -> int:
        """Cells of a full file."""
        return self.columns * self.rows

    def size(self, sheet: int) -> tuple[int, int]:
        """(width, height) of a file in pixels."""
        cells = min(self.count - sheet * self.per_sheet, self.per_sheet)
        columns = min(cells, self.columns)
        return columns * self.side, -(-cells // self.columns) * self.side

    def cell(self, position: int) -> Cell:
        """The cell of an image."""
        sheet, within = divmod(position, self.per_sheet)
        row, column = divmod(within, self.columns)
        width, height = self.size(sheet)
        name = f"{self.name}-{sheet}.webp"
        return Cell(name, column * self.side, row * self.side, self.side, width, height)


class SheetWriter:
    """Writes the files of a layout, one sheet in memory at a time; cells not given stay clear."""

    def __init__(self, folder: Path, layout: Layout, quality: int = _QUALITY) -> None:
        """folder: exists. quality: of WebP, 0..100."""
        self._folder = folder
        self._layout = layout
        self._quality = quality
        self._sheet = 0
        self._pixels: NDArray[np.uint8] | None = None

    def __enter__(self) -> SheetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()

    def put(self, position: int, image: NDArray[np.uint8]) -> None:
        """Lays an image, uint8 RGBA (side, side, 4), into its cell; positions ascend."""
        sheet = position // self._layout.per_sheet
        if sheet != self._sheet:
            self._flush()
            self._sheet = sheet
        if self._pixels is None:
            width, height = self._layout.size(sheet)
            self._pixels = np.zeros((height, width, 4), np.uint8)
        cell = self._layout.cell(position)
        self._pixels[cell.y : cell.y + cell.side, cell.x : cell.x + cell.side] = image

    def _flush(self) -> None:
        """Writes the sheet in memory; one without any image gets no file."""
        if self._pixels is None:
            return
        path = self._folder / f"{self._layout.name}-{self._sheet}.webp"
        Image.fromarray(self._pixels).save(path, "WEBP", quality=self._quality, method=_METHOD)
        self._pixels = None
