"""Reading pictures of every common kind as RGB arrays, and PNG to and from bytes."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from schemas.errors import ImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""How names of such files end, in lower case: what of a folder is taken for a picture."""
MAX_PIXELS = 100_000_000

_ORIENTATION_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LOG = logging.getLogger(__name__)


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Reads one picture file as RGB, the way a viewer shows it.

    PNG, JPEG, WebP, BMP, TIFF and GIF, told by content and not by the file's name; of several
    frames or pages the first. Grey, palette and CMYK pictures become RGB, transparency is laid on
    white, 16-bit grey is scaled from 0..65535 to 0..255, and the EXIF orientation is applied.

    Returns:
        uint8 (H, W, 3), RGB, 0..255.

    Raises:
        ImageError: no such file, not a picture of these formats, damaged or cut short, or more
            than `MAX_PIXELS` pixels. The message names the file.
    """
    file = Path(path)
    if not file.is_file():
        raise ImageError(f"{file}: expected a picture file, found {_what_is_there(file)}")
    with warnings.catch_warnings():
        # The size is checked here, below the limit from which Pillow itself refuses.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=FORMATS) as image:
                _check_pixel_count(image.size, str(file))
                image.load()
                return _as_rgb(_upright(image, file), file)
        except ImageError:
            raise
        except UnidentifiedImageError as error:
            found = "an empty file" if file.stat().st_size == 0 else "something else"
            raise ImageError(
                f"{file}: expected a picture ({', '.join(FORMATS)}), found {found}"
            ) from error
        except Exception as error:  # decoders raise nearly anything on hostile bytes
            raise ImageError(
                f"{file}: the picture is damaged or cannot be decoded ({error}); replace the file"
            ) from error


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                _check_pixel_count(image.size, "PNG in memory")
                image.load()
                mode, array = image.mode, np.array(image)
        except ImageError:
            raise
        except Exception as error:  # decoders raise nearly anything on hostile bytes
            raise ImageError(f"expected PNG bytes, found bytes that do not decode ({error})") from (
                error
            )
    if mode in ("RGB", "L"):
        return array
    if mode.startswith("I;16"):
        return array.astype(np.uint16)
    raise ImageError(f"expected an RGB, 8-bit or 16-bit grey PNG, found mode {mode}")


def _what_is_there(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "something that is no regular file" if path.exists() else "nothing"


def _check_pixel_count(size: tuple[int, int], where: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{where}: expected at most {MAX_PIXELS:,} pixels, found {width} x {height}; "
            "scale the picture down"
        )


def _upright(image: Image.Image, file: Path) -> Image.Image:
    """The picture turned as its EXIF orientation says; unreadable EXIF is ignored, with a warning.

    Pillow turns TIFF itself while loading and drops the tag.
    """
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception as error:  # the EXIF parser raises nearly anything on hostile bytes
        _LOG.warning("%s: EXIF data ignored, it cannot be read (%s)", file, error)
        return image
    method = _TRANSPOSE.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _as_rgb(image: Image.Image, file: Path) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 3) from a loaded picture of any mode."""
    if image.mode == "F":
        raise ImageError(f"{file}: expected 8- or 16-bit pixels, found floating point; convert it")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(np.asarray(image), file)
    if image.has_transparency_data:
        # Alpha may sit in a band, in the palette, or in one colour named as transparent.
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return np.array(image.convert("RGB"))


def _from_16_bit(grey: npt.NDArray[np.generic], file: Path) -> npt.NDArray[np.uint8]:
    values = grey.astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"{file}: expected grey values in 0..65535, found {values.min()}..{values.max()}; "
            "convert it to 8 or 16 bits"
        )
    eight_bit = ((values * 255 + 32767) // 65535).astype(np.uint8)
    return np.repeat(eight_bit[:, :, None], 3, axis=2)
