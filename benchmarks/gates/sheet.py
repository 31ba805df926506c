"""Sample sheets: rows of enlarged images with captions, as small PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

Colour = tuple[int, int, int]

INK: Colour = (34, 34, 34)
RIGHT: Colour = (22, 124, 62)
WRONG: Colour = (204, 32, 40)
WHITE: Colour = (255, 255, 255)
_PAPER: Colour = (252, 252, 250)
_GAP = 8
_MARGIN = 16
_FONT, _TITLE_FONT = 13, 18
_CAPTION = 18  # pixels for a line of caption
_MOST_BYTES = 300_000
_FEWEST_COLOURS = 48


@dataclass(frozen=True)
class Tile:
    """``pixels`` (H, W, 3) uint8 as they are shown, and the caption under them (none: no room)."""

    pixels: NDArray[np.uint8]
    caption: str = ""
    colour: Colour = INK


@dataclass(frozen=True)
class TileRow:
    """Tiles side by side, aligned at the top, and a heading left of them."""

    tiles: Sequence[Tile]
    heading: str = ""


def enlarged(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A square image at `side` pixels: repeated where that is a whole factor, else Lanczos."""
    factor, rest = divmod(side, pixels.shape[0])
    if rest == 0:
        return pixels.repeat(factor, 0).repeat(factor, 1)
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8)


def with_outline(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_], colour: Colour = WHITE
) -> NDArray[np.uint8]:
    """A thin line along the inside of a mask, with a dark one outside that sets it off; the mask
    has the image's size or is smaller by a whole factor.
    """
    factor = pixels.shape[0] // mask.shape[0]
    inside = mask.repeat(factor, 0).repeat(factor, 1)
    drawn = pixels.copy()
    drawn[find_boundaries(inside, mode="outer")] = INK
    drawn[find_boundaries(inside, mode="inner")] = colour
    return drawn


def with_frame(pixels: NDArray[np.uint8], colour: Colour, width: int = 3) -> NDArray[np.uint8]:
    """The image with a coloured border drawn over its edge."""
    framed = np.full_like(pixels, colour)
    framed[width:-width, width:-width] = pixels[width:-width, width:-width]
    return framed


def with_dot(pixels: NDArray[np.uint8], x: float, y: float, colour: Colour) -> NDArray[np.uint8]:
    """The image with a dot at (x, y) pixels, ringed in white."""
    image = Image.fromarray(pixels)
    box = (x - 5, y - 5, x + 5, y + 5)
    ImageDraw.Draw(image).ellipse(box, fill=colour, outline=WHITE, width=2)
    return np.asarray(image, np.uint8)


def with_name(
    pixels: NDArray[np.uint8], text: str, x: float, y: float, colour: Colour
) -> NDArray[np.uint8]:
    """The image with white words on a coloured label, centred at (x, y) but inside it."""
    image = Image.fromarray(pixels)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=_FONT)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 8, bottom - top + 6
    x0 = min(max(x - width / 2, 1), image.width - width - 1)
    y0 = min(max(y - height / 2, 1), image.height - height - 1)
    draw.rounded_rectangle((x0, y0, x0 + width, y0 + height), 3, fill=colour)
    draw.text((x0 + 4 - left, y0 + 3 - top), text, fill=WHITE, font=font)
    return np.asarray(image, np.uint8)


def draw_sheet(title: str, columns: Sequence[Sequence[TileRow]]) -> Image.Image:
    """Columns of rows side by side under a title."""
    blocks = [_Block(rows) for rows in columns if rows]
    font = ImageFont.load_default(size=_TITLE_FONT)
    top = _MARGIN + _TITLE_FONT + 2 * _GAP
    width = sum(block.width for block in blocks) + 3 * _GAP * (len(blocks) - 1) + 2 * _MARGIN
    wanted = ImageDraw.Draw(Image.new("RGB", (1, 1))).textlength(title, font=font)
    height = max((block.height for block in blocks), default=0) + top + _MARGIN
    sheet = Image.new("RGB", (max(width, int(wanted) + 2 * _MARGIN), height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, fill=INK, font=font)
    left = _MARGIN
    for block in blocks:
        block.draw(sheet, draw, left, top)
        left += block.width + 3 * _GAP
    return sheet


class _Block:
    """One column of rows: its size, and how it is drawn."""

    def __init__(self, rows: Sequence[TileRow]) -> None:
        self.rows = rows
        self.font = ImageFont.load_default(size=_FONT)
        longest = max(self.font.getlength(row.heading) for row in rows)
        self.heading = int(longest) + _GAP if longest else 0
        self.width = self.heading + max(
            sum(tile.pixels.shape[1] + _GAP for tile in row.tiles) - _GAP for row in rows
        )
        self.heights = [
            max(t.pixels.shape[0] + (_CAPTION if t.caption else 0) for t in row.tiles)
            for row in rows
        ]
        self.height = sum(self.heights) + _GAP * (len(rows) - 1)

    def draw(self, sheet: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
        for row, height in zip(self.rows, self.heights, strict=True):
            middle = top + row.tiles[0].pixels.shape[0] // 2
            draw.text((left, middle), row.heading, fill=INK, font=self.font, anchor="lm")
            x = left + self.heading
            for tile in row.tiles:
                sheet.paste(Image.fromarray(tile.pixels), (x, top))
                centre, below = x + tile.pixels.shape[1] / 2, top + tile.pixels.shape[0] + 3
                draw.text((centre, below), tile.caption, tile.colour, self.font, anchor="ma")
                x += tile.pixels.shape[1] + _GAP
            top += height + _GAP


def save_sheet(sheet: Image.Image, path: Path, most_bytes: int = _MOST_BYTES) -> None:
    """Writes a PNG in full colour if it stays below `most_bytes`, else with as many palette colours
    as do, but at least 48.
    """
    data, colours = _png(sheet), 256
    while len(data) > most_bytes and colours > _FEWEST_COLOURS:
        reduced = sheet.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        data, colours = _png(reduced), max(_FEWEST_COLOURS, colours * 3 // 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
