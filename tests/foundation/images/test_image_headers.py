"""What is read of a picture's structure before it is decoded."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from foundation.images.image_headers import (
    MAX_SCANS,
    MAX_VALUES,
    check_structure,
    image_format,
)
from foundation.images.image_headers import _jpeg_markers as jpeg_markers
from tests.attacks.hostile_pictures import encoded, jpeg_of_many_scans, tiff, tiff_entries

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_formats_are_those_that_pillow_finds(kind: str) -> None:
    data = encoded(kind, NOISE)
    with Image.open(io.BytesIO(data)) as image:
        assert image_format(data[:16]) == image.format == kind
    check_structure(io.BytesIO(data), kind)


@pytest.mark.parametrize("head", [b"", b"RIFF....WAVE", b"%!PS", b"<svg", b"II", b"GIF88a", b"PK"])
def test_other_beginnings_are_no_format(head: bytes) -> None:
    assert image_format(head) is None


def scans(data: bytes) -> int:
    return list(jpeg_markers(io.BytesIO(data))).count(0xDA)


def test_scans_are_counted_as_libjpeg_writes_them() -> None:
    """Ten for a progressive picture in colour, six in grey, one for any other."""
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000  # the first scan lies beyond a large header
    assert scans(encoded("JPEG", NOISE, quality=95)) == 1
    assert scans(encoded("JPEG", NOISE, restart_marker_blocks=1, exif=exif)) == 1
    assert scans(encoded("JPEG", NOISE, progressive=True, exif=exif)) == 10
    assert scans(encoded("JPEG", NOISE.convert("L"), progressive=True)) == 6
    large = NOISE.resize((2000, 1800))
    assert scans(encoded("JPEG", large, progressive=True, quality=100)) == 10


def test_what_follows_a_picture_does_not_count() -> None:
    """Phones put a film, or a second picture, behind the end."""
    film = np.random.default_rng(1).bytes(3_000_000) + b"\xff\xda\0\x02" * 500
    data = encoded("JPEG", NOISE) + film
    assert scans(data) == 1
    check_structure(io.BytesIO(data), "JPEG")


def test_as_many_scans_as_allowed_and_one_more() -> None:
    check_structure(io.BytesIO(jpeg_of_many_scans(64, MAX_SCANS)), "JPEG")
    with pytest.raises(ValueError, match="more than 100 scans"):
        check_structure(io.BytesIO(jpeg_of_many_scans(64, MAX_SCANS + 1)), "JPEG")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_values_of_a_tag_are_counted_in_every_kind_of_tiff(order: str, big: bool) -> None:
    for count in (MAX_VALUES, MAX_VALUES + 1):
        mark = b"II" if order == "<" else b"MM"
        if big:
            head = mark + struct.pack(order + "HHHQ", 43, 8, 0, 16)
            directory = struct.pack(order + "QHHQQ", 1, 273, 4, count, 0)
        else:
            head = mark + struct.pack(order + "HL", 42, 8)
            directory = struct.pack(order + "HHHLL", 1, 273, 4, count, 0)
        if count == MAX_VALUES:
            check_structure(io.BytesIO(head + directory), "TIFF")
        else:
            with pytest.raises(ValueError, match="500,001 values of tag 273"):
                check_structure(io.BytesIO(head + directory), "TIFF")


def test_bytes_of_a_tag_may_be_many() -> None:
    """Layers and colour profiles are."""
    data = tiff([*tiff_entries(1, 1), (37_724, 7, 1 << 30, 8)])
    check_structure(io.BytesIO(data), "TIFF")
