"""Checks the structure of an image file before it is decoded.

A decoder allocates what a header claims and repeats what it asks for. The two formats in which a
small file can claim hours of work are checked here; `foundation.images.image_file` bounds size and
reading for all formats.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

MAX_SCANS = 100
"""Of a JPEG [ours]: progressive ones have about 10, and each may run over all pixels again for a
few bytes."""

MAX_VALUES = 500_000
"""Of one TIFF tag [ours]: 100 megapixels in the smallest tiles, 16 x 16, are 390,625 of them. Each
becomes an object of some hundred bytes."""

_MAX_MARKERS = 10_000
_CHUNK = 1 << 20
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SCAN, _END = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, 0xD8}

_STRIPS_AND_TILES = {273, 324}
_BYTES = {1, 2, 6, 7}  # BYTE, ASCII, SBYTE, UNDEFINED: never a number each


def image_format(head: bytes) -> str | None:
    """Pillow's name of the format that a file's first 16 bytes say, None for any other."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for start, name in _STARTS.items() if head.startswith(start)), None)


def check_structure(file: BinaryIO, kind: str) -> None:
    """Refuses an image whose structure asks for far more work than its pixels do.

    Args:
        file: open for reading from its start; its position afterwards is undefined.
        kind: its format.

    Raises:
        ValueError: with what is wrong.
    """
    if kind == "JPEG":
        _check_scans(file)
    elif kind == "TIFF":
        _check_directory(file)


def _check_scans(file: BinaryIO) -> None:
    scans = 0
    for count, marker in enumerate(_jpeg_markers(file)):
        scans += marker == _SCAN
        if scans > MAX_SCANS or count > _MAX_MARKERS:
            raise ValueError(f"more than {MAX_SCANS} scans or {_MAX_MARKERS:,} segments")


def _jpeg_markers(file: BinaryIO) -> Iterator[int]:
    """The markers of the first image in a JPEG file up to its end, without restarts."""
    position, start, chunk = 2, 0, b""
    while True:
        if position - start + 4 > len(chunk):  # a marker and its length must lie in the chunk
            start = file.seek(position)
            chunk = file.read(_CHUNK)
        found = _MARKER.search(chunk, position - start)
        if found is None:
            if start + len(chunk) <= position + 1:
                return
            position = start + len(chunk) - 1  # the last byte may begin a marker
            continue
        marker = chunk[found.start() + 1]
        yield marker
        if marker == _END:
            return
        position = start + found.end()
        if marker not in _WITHOUT_LENGTH:
            file.seek(position)
            position += int.from_bytes(file.read(2), "big")


def _check_directory(file: BinaryIO) -> None:
    """The first directory of a TIFF or BigTIFF file: the only one that is read."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    start, counter, entry = (8, "Q", "HHQ8x") if big else (4, "H", "HHL4x")
    try:
        (offset,) = struct.unpack_from(order + ("Q" if big else "L"), head, start)
        file.seek(offset)
        (count,) = struct.unpack(order + counter, file.read(struct.calcsize(order + counter)))
    except (struct.error, OverflowError, OSError):
        return  # the decoder says what is wrong
    size = struct.calcsize(order + entry)
    entries = file.read(min(count, 65_535) * size)
    for tag, kind, values in struct.iter_unpack(
        order + entry, entries[: len(entries) // size * size]
    ):
        if values > MAX_VALUES and (kind not in _BYTES or tag in _STRIPS_AND_TILES):
            raise ValueError(f"{values:,} values of tag {tag}, more than {MAX_VALUES:,}")


_STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
