"""Reading images of every common kind as RGB arrays, and PNG to and from bytes."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from foundation.images.image_file import (
    FORMATS,
    MAX_FILE_BYTES,
    MAX_PIXELS,
    MAX_SIDE,
    open_image,
    open_image_bytes,
)
from schemas.errors import ImageError
from schemas.text import printable

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "decode_png",
    "encode_png",
    "read_image",
]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""How names of such files end, in lower case: the files of a folder that are read as images."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT: dict[int, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: stored[::-1].transpose(1, 0, 2),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: stored[:, ::-1].transpose(1, 0, 2),
}
_PIXELS_AT_ONCE = 1 << 22
_LOG = logging.getLogger(__name__)


def read_image(path: str | Path, named: str = "") -> npt.NDArray[np.uint8]:
    """Reads one image file as RGB, the way a viewer shows it.

    PNG, JPEG, WebP, BMP, TIFF and GIF, told by content and not by the file's name; of several
    frames or pages the first. Grey, palette and CMYK images become RGB, transparency is laid on
    white, 16-bit grey is scaled from 0..65535 to 0..255, and the EXIF orientation is applied.

    Measured, the largest image (`MAX_PIXELS`) takes 0.4 to 1 GB while it is read, as WebP 1.6 GB.

    Args:
        path: the file.
        named: the file in messages, by default its path.

    Returns:
        uint8 (H, W, 3), RGB, 0..255.

    Raises:
        ImageError: see `foundation.images.image_file.open_image`, or floating-point pixels. The
            message names the file.
    """
    file = Path(path)
    named = printable(named or file)
    with open_image(file, named=named) as image:
        image.load()
        orientation = _orientation(image, named)
        rgb = _as_rgb(image, named)
    if orientation not in _UPRIGHT:
        return rgb
    return np.ascontiguousarray(_UPRIGHT[orientation](rgb))


def encode_png(array: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """The PNG of an array; the same array always gives the same bytes with one Pillow version.

    Args:
        array: uint8 (H, W, 3) RGB, or uint8 or uint16 (H, W) grey, not empty.

    Raises:
        ImageError: another shape or type.
    """
    rgb = array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8
    grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    if not (rgb or grey) or array.size == 0:
        raise ImageError(
            "expected uint8 (H, W, 3), uint8 (H, W) or uint16 (H, W) to write as PNG, "
            f"found {array.dtype} {array.shape}"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def decode_png(data: bytes) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The array that `encode_png` was given, shape and type included.

    Raises:
        ImageError: the bytes are no PNG, damaged, or a PNG of another kind.
    """
    with open_image_bytes(data, formats=("PNG",), what="PNG", named="PNG in memory") as image:
        image.load()
        mode, array = image.mode, np.array(image)
    if mode in ("RGB", "L"):
        return array
    if mode.startswith("I;16"):
        return array.astype(np.uint16)
    raise ImageError(f"expected an RGB, 8-bit or 16-bit grey PNG, found mode {mode}")


def _orientation(image: Image.Image, named: str) -> int:
    """The EXIF orientation, 1 if there is none or none that can be read; the latter is logged.

    Pillow turns TIFF itself while loading and drops the tag.
    """
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        try:
            orientation = image.getexif().get(_ORIENTATION_TAG)
            reason: object = doubts[0].message if doubts and orientation is None else None
        except Exception as error:  # the EXIF parser raises nearly anything on hostile bytes
            orientation, reason = None, error
    if reason is not None:
        _LOG.warning("%s: EXIF data ignored, it cannot be read (%s)", named, printable(reason))
    return orientation if isinstance(orientation, int) else 1


def _as_rgb(image: Image.Image, named: str) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 3) from a loaded image of any mode, converted a few rows at a time.

    So a large image is in memory twice, as Pillow has it and as it is returned, and not in every
    form between.
    """
    if image.mode == "F":
        raise ImageError(f"{named}: expected 8- or 16-bit pixels, found floating point; convert it")
    if image.mode == "I":
        _check_16_bit(image, named)
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        rgb[top:bottom] = _strip_as_rgb(image.crop((0, top, width, bottom)))
    return rgb


def _strip_as_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        # Alpha may sit in a band, in the palette, or in one colour named as transparent.
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _check_16_bit(image: Image.Image, named: str) -> None:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"{named}: expected grey values in 0..65535, found {values.min()}..{values.max()}; "
            "convert it to 8 or 16 bits"
        )
