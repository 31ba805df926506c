"""Opening image files that may be hostile: regular files, formats and sizes within limits.

The messages of errors here are stored in banks, as the reasons why images failed: their words stay.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

# Imported here, else Pillow imports the plugins of every format it knows to find these two; some
# of those start other programs.
from PIL import Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin, _imaging

from foundation.images.image_headers import check_structure, image_format
from schemas.errors import ImageError
from schemas.lfs import LFS_HINT, looks_like_lfs_pointer
from schemas.text import printable

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 100_000_000
"""Width times height [ours]; a decoded image of so many pixels takes 0.3 GB."""
MAX_SIDE = 30_000
"""Width and height [ours]: above it a strip is no photo."""
MAX_FILE_BYTES = 1 << 29
"""512 MiB [ours]: more than `MAX_PIXELS` pixels of four bytes, not compressed."""

_MAX_READS = 2_000_000  # some seconds' worth; an image of 1,000 x 1,000 has some dozens
_LEAST_HEADER = 16 << 20
_GIF_HEADER = 1 << 20  # Pillow joins comments a few bytes at a time
_PLUGINS = (TiffImagePlugin, WebPImagePlugin)

# Pillow also logs what it raises; without any handler Python would print that on the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextlib.contextmanager
def open_image(
    path: Path, *, formats: tuple[str, ...] = FORMATS, what: str = "picture", named: str = ""
) -> Iterator[Image.Image]:
    """Opens an image file; its header has been read and lies within all limits.

    The pixels are decoded within the `with` block. The format is told by the content, never by the
    file's name; a link is followed, but what is opened must be a regular file. While the block
    runs, warnings are off and every exception becomes an ImageError, since decoders raise nearly
    anything on hostile bytes.

    Args:
        path: the file.
        formats: those of FORMATS that are accepted.
        what: the file's role in messages.
        named: the file in messages, by default its path.

    Raises:
        ImageError: nothing there, no regular file, larger than `MAX_FILE_BYTES`, a Git LFS pointer,
            none of the formats, more than `MAX_PIXELS` pixels or `MAX_SIDE` to a side, damaged, cut
            short. One line that names the file.
    """
    named = printable(named or path)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_open_regular(path, what, named))
        yield stack.enter_context(_open_stream(file, formats, what, named))


@contextlib.contextmanager
def open_image_bytes(
    data: bytes, *, formats: tuple[str, ...] = FORMATS, what: str = "picture", named: str
) -> Iterator[Image.Image]:
    """Opens an image in memory, as `open_image` opens a file."""
    # A BytesIO is all that a buffered reader needs.
    with _open_stream(_Reader(io.BytesIO(data)), formats, what, named) as image:
        yield image


class _Reader(io.BufferedReader):
    """A file that can be read only so often, and up to a number of bytes while a header is read.

    A few bytes of a header can ask to read others again and again, or a bit at a time.
    """

    reads_left = _MAX_READS
    bytes_left = 0
    limited = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.reads_left -= 1
        self.bytes_left -= len(data) if self.limited else 0
        if self.reads_left < 0 or self.bytes_left < 0:
            raise ValueError("it has far more parts than a picture of its size")
        return data


def _open_regular(path: Path, what: str, named: str) -> _Reader:
    try:
        # Not blocking: a pipe that nobody writes to would hold up the opening for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL
        raise ImageError(f"{named}: expected a {what} file, found nothing") from error
    except OSError as error:
        if os.path.isdir(path):  # Windows opens no folders
            raise ImageError(f"{named}: expected a {what} file, found a folder") from error
        raise ImageError(f"{named}: cannot be read ({error.strerror or error})") from error
    try:
        _check_regular(os.fstat(descriptor), what, named)
        return _Reader(io.FileIO(descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(status: os.stat_result, what: str, named: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise ImageError(f"{named}: expected a {what} file, found {found}")
    if status.st_size > MAX_FILE_BYTES:
        raise ImageError(
            f"{named}: expected a {what} file of at most {MAX_FILE_BYTES >> 20} MiB, found "
            f"{status.st_size >> 20} MiB; scale the picture down"
        )


@contextlib.contextmanager
def _open_stream(
    file: _Reader, formats: tuple[str, ...], what: str, named: str
) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind = _checked_format(file, formats, what, named)
            with Image.open(file, formats=(kind,)) as image:
                file.limited = False
                _check_size(image.size, named)
                yield image
        except ImageError:
            raise
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{named}: the {what} is damaged or a kind of {kind} that cannot be read; replace "
                "or convert the file"
            ) from error
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{named}: expected at most {MAX_PIXELS:,} pixels, found many more; scale the "
                "picture down"
            ) from error
        except Exception as error:
            reason = printable(error) or type(error).__name__
            raise ImageError(
                f"{named}: the {what} is damaged or cannot be decoded ({reason}); replace the file"
            ) from error


def _checked_format(file: _Reader, formats: tuple[str, ...], what: str, named: str) -> str:
    """The format of the content, whose structure has been checked; ImageError if it is another."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(200)
    kind = image_format(head)
    if kind not in formats or kind is None:
        if looks_like_lfs_pointer(head):
            raise ImageError(f"{named}: expected a {what}, found {LFS_HINT}")
        found = "an empty file" if size == 0 else kind or "something else"
        raise ImageError(f"{named}: expected a {what} ({', '.join(formats)}), found {found}")
    if kind == "TIFF":
        _silence_libtiff()
    file.seek(0)
    check_structure(file, kind)
    file.bytes_left, file.limited = _header_bytes(kind, size), True
    return kind


def _header_bytes(kind: str, size: int) -> int:
    """How much of a file is read at most before its pixels."""
    if kind == "GIF":
        return _GIF_HEADER
    # WebP is read as a whole, and the tags of a TIFF lie anywhere in the file.
    return _LEAST_HEADER + (2 * size if kind in ("TIFF", "WEBP") else 0)


@functools.cache
def _silence_libtiff() -> None:
    """Keeps libtiff from writing on the terminal what Pillow raises as well.

    It does so itself, below Python. Where Pillow has it built in without a way to tell it, it still
    may.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            function = library[name]
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
            function(None)


def _check_size(size: tuple[int, int], named: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{named}: expected at most {MAX_PIXELS:,} pixels, found {width} x {height}; "
            "scale the picture down"
        )
    if max(size) > MAX_SIDE:
        raise ImageError(
            f"{named}: expected sides of at most {MAX_SIDE:,} pixels, found {width} x {height}; "
            "cut the picture or scale it down"
        )
