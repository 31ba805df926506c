"""Picture files that a stranger could make to break, fill or halt whoever opens them.

Each is small, a few megabytes at most, and asks for far more. Made here byte by byte, since no
library writes them.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

PNG_START = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk with its checksum."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(width: int, height: int, *chunks: bytes, rows: bytes = b"", depth: int = 8) -> bytes:
    """An RGB PNG of a claimed size with further chunks before its compressed rows."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", rows or zlib.compress(bytes(10)))
    return PNG_START + header + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


def good_png() -> bytes:
    """A 2 x 2 picture's rows, compressed."""
    return zlib.compress(b"\0" + bytes(6) + b"\0" + bytes(6))


@functools.cache
def zip_bomb(size: int) -> bytes:
    """Zeros, compressed to a thousandth."""
    return zlib.compress(bytes(size))


def png_of_many_chunks() -> bytes:
    """Eight hundred thousand chunks of one byte before the pixels."""
    return png(2, 2, png_chunk(b"prVt", b"x") * 800_000, rows=good_png())


def png_pixels_by_the_byte() -> bytes:
    """Rows of a picture cut into 900,000 chunks."""
    rows = zlib.compress(np.random.default_rng(0).bytes(1000 * 1001 * 3), 0)[:900_000]
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1000, 1000, 8, 2, 0, 0, 0))
    return (
        PNG_START + header + b"".join(png_chunk(b"IDAT", rows[i : i + 1]) for i in range(900_000))
    )


def gif(width: int, height: int, comment: int = 0, frames: int = 1) -> bytes:
    """A GIF of a claimed screen, with a comment of so many bytes, and frames of one pixel."""
    data = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    if comment:
        data += b"!\xfe" + (b"\xff" + b"x" * 255) * (comment // 255) + b"\0"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return data + frame * frames + b";"


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, tail: bytes = b"") -> bytes:
    """A BMP of a claimed size; a negative height runs from the top down."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 1, 1, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(tail), 0, 0, 54) + header + tail


def tiff(entries: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value or offset) each.

    The tail begins right behind the directory.
    """
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<L", 8) + directory + bytes(4) + tail


def tiff_entries(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """The tags of an 8-bit grey picture, without its strips."""
    short, long = 3, 4
    return [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, 1, 8),
        (259, short, 1, 1),
        (262, short, 1, 1),
        (277, short, 1, 1),
    ]


def tiff_of_many_strips() -> bytes:
    """Two million strips of one pixel, all at one place."""
    count = 2_000_000
    start = 8 + 2 + 12 * 8 + 4
    strips = [(273, 4, count, start), (278, 4, 1, 1)]
    return tiff([*tiff_entries(1, 2), *strips], struct.pack("<L", 8) * count)


def tiff_with_repeated_tags(size: int) -> bytes:
    """Thirty thousand tags that each hold the whole file."""
    entries = [(40_000 + i % 25_000, 7, size, 8) for i in range(30_000)]
    body = tiff([*tiff_entries(1, 1), (273, 4, 1, 8), *entries])
    return body + bytes(max(0, size - len(body)))


def exif_of_repeated_tags() -> bytes:
    """An EXIF block of 60 KB in which five thousand tags each hold the whole block."""
    entries = [(1000 + i, 7, 60_000, 8) for i in range(4_900)]
    return b"Exif\0\0" + tiff(entries)


def jpeg_segment(marker: int, data: bytes) -> bytes:
    """One segment with its length."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_with(segments: bytes) -> bytes:
    """A good JPEG with segments in front, and no JFIF header."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(buffer, format="JPEG")
    whole = buffer.getvalue()
    return whole[:2] + segments + whole[20:]


def jpeg_of_many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG in which every scan runs over all pixels for some 90 bytes."""
    frame = jpeg_segment(0xC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0))
    quantisation = jpeg_segment(0xDB, b"\0" + b"\1" * 64)
    # One code of one bit: up to 32,767 blocks in a row are left as they are.
    huffman = jpeg_segment(0xC4, b"\x10" + b"\1" + bytes(15) + b"\xe0")
    codes = -(-(((side + 7) // 8) ** 2) // 32_767)
    bits = ("0" + "1" * 14) * codes
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = jpeg_segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + packed
    return b"\xff\xd8" + quantisation + frame + huffman + scan * scans + b"\xff\xd9"


def jpeg_of_many_markers() -> bytes:
    """A million empty comments between two scans."""
    whole = jpeg_of_many_scans(64, 2)
    return whole[:-2] + jpeg_segment(0xFE, b"") * 1_000_000 + whole[-2:]


def webp(width: int, height: int) -> bytes:
    """A WebP canvas of a claimed size with nothing on it."""
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas


def encoded(kind: str, picture: Image.Image, **options: object) -> bytes:
    """A picture's file in any format that Pillow writes."""
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "png-claims-60000x60000": lambda: png(60_000, 60_000),
    "png-claims-2^31": lambda: png(2**31 - 1, 2**31 - 1),
    "png-is-a-line": lambda: png(30_001, 1),
    "png-is-hollow": lambda: png(10_000, 10_000),
    "png-of-no-width": lambda: png(0, 5),
    "png-text-bomb": lambda: png(
        2, 2, *[png_chunk(b"zTXt", b"a%d\0\0" % i + zip_bomb(1_000_000)) for i in range(80)]
    ),
    "png-profile-bomb": lambda: png(2, 2, png_chunk(b"iCCP", b"a\0\0" + zip_bomb(100_000_000))),
    "png-international-text-bomb": lambda: png(
        2, 2, png_chunk(b"iTXt", b"a\0\1\0\0\0" + zip_bomb(100_000_000))
    ),
    "png-of-many-chunks": png_of_many_chunks,
    "png-pixels-by-the-byte": png_pixels_by_the_byte,
    "png-chunk-of-4GB": lambda: PNG_START + struct.pack(">I", 2**32 - 1) + b"IHDR" + bytes(99),
    "gif-claims-65535x65535": lambda: gif(65_535, 65_535),
    "gif-comment-of-30MB": lambda: gif(2, 2, comment=30_000_000),
    "bmp-claims-100000x100000": lambda: bmp(100_000, 100_000),
    "bmp-of-negative-width": lambda: bmp(-5, 5),
    "bmp-from-the-top-2^31": lambda: bmp(1, -(2**31)),
    "bmp-runs": lambda: bmp(9_000, 9_000, bits=8, compression=1, tail=b"\1\0" * 50_000),
    "bmp-of-no-size": lambda: bmp(0, 0),
    "tiff-of-many-strips": tiff_of_many_strips,
    "tiff-claims-2^32": lambda: tiff([*tiff_entries(2**32 - 1, 2**32 - 1), (273, 4, 1, 8)]),
    "tiff-strips-claimed": lambda: tiff([*tiff_entries(9, 9), (273, 4, 2**31, 8)]),
    "tiff-bits-claimed": lambda: tiff([(258, 3, 2**30, 8), *tiff_entries(9, 9)], bytes(1 << 20)),
    "tiff-of-4000000-samples": lambda: tiff(
        [*tiff_entries(9, 9)[:-1], (277, 4, 1, 4_000_000), (273, 4, 1, 8)]
    ),
    "tiff-directory-outside": lambda: b"II*\0" + struct.pack("<L", 2**32 - 1) + bytes(50),
    "bigtiff-directory-of-2^63": lambda: (
        b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63) + bytes(1 << 20)
    ),
    "jpeg-of-many-scans": lambda: jpeg_of_many_scans(10_000, 5_000),
    "jpeg-of-many-markers": jpeg_of_many_markers,
    "jpeg-claims-65500x65500": lambda: jpeg_of_many_scans(65_500, 1)[:400],
    "webp-claims-16384x16384": lambda: webp(16_384, 16_384),
    "webp-claims-2^24": lambda: webp(2**24, 2**24),
    "webp-of-4GB": lambda: b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff" + bytes(100),
}
"""Files that must be refused, by what they are."""

HARMLESS: dict[str, Callable[[], bytes]] = {
    "png-rows-bomb": lambda: png(4, 4, rows=zip_bomb(100_000_000)),
    "gif-of-no-size": lambda: gif(0, 0),
    "png-line-of-30000": lambda: encoded("PNG", Image.new("RGB", (30_000, 1))),
    "gif-of-100000-frames": lambda: gif(2, 2, frames=100_000),
    "jpeg-exif-of-repeated-tags": lambda: jpeg_with(jpeg_segment(0xE1, exif_of_repeated_tags())),
    "jpeg-exif-in-100-parts": lambda: jpeg_with(jpeg_segment(0xE1, exif_of_repeated_tags()) * 100),
    "png-exif-of-repeated-tags": lambda: png(
        2, 2, png_chunk(b"eXIf", exif_of_repeated_tags()[6:]), rows=good_png()
    ),
    "tiff-of-repeated-tags": lambda: tiff_with_repeated_tags(4_000_000),
    "jpeg-of-100-scans": lambda: jpeg_of_many_scans(2_000, 100),
    "bmp-from-the-top": lambda: bmp(2, -2, tail=bytes(16)),
}
"""Files that look as bad but are pictures: only their first frame, or good pixels, are read."""
