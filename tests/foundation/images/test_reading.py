"""Reading every kind of picture as RGB, and PNG both ways."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foundation.images.reading import decode_png, encode_png, read_image
from schemas.errors import ImageError

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
ALPHA = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)


def on_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[:, :, None] / 255
    return rgb * share + 255 * (1 - share)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_rgb_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RGB).save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.dtype == np.uint8
    assert image.flags.writeable
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_formats_are_read(tmp_path: Path, suffix: str) -> None:
    smooth = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    Image.fromarray(smooth).save(tmp_path / f"a.{suffix}", quality=95)
    np.testing.assert_allclose(read_image(str(tmp_path / f"a.{suffix}")), smooth, atol=4)


def test_the_content_tells_the_format_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), RGB)


def test_grey_and_black_and_white_become_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.dstack([GREY] * 3))
    Image.fromarray(GREY > 127).save(tmp_path / "bit.png")
    expected = np.where(GREY > 127, 255, 0)
    np.testing.assert_array_equal(read_image(tmp_path / "bit.png"), np.dstack([expected] * 3))


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RGB, ALPHA])).save(tmp_path / "rgba.png")
    np.testing.assert_allclose(read_image(tmp_path / "rgba.png"), on_white(RGB, ALPHA), atol=1)
    Image.fromarray(np.dstack([GREY, ALPHA])).save(tmp_path / "la.png")
    expected = on_white(np.dstack([GREY] * 3), ALPHA)
    np.testing.assert_allclose(read_image(tmp_path / "la.png"), expected, atol=1)


def test_a_transparent_colour_is_white(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putdata([0, 1])
    palette.save(tmp_path / "opaque.png")
    palette.save(tmp_path / "transparent.png", transparency=1)
    assert read_image(tmp_path / "opaque.png").tolist() == [[[10, 20, 30], [200, 0, 0]]]
    assert read_image(tmp_path / "transparent.png").tolist() == [[[10, 20, 30], [255] * 3]]
    rgb = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    rgb.save(tmp_path / "rgb.png", transparency=(4, 5, 6))
    assert read_image(tmp_path / "rgb.png").tolist() == [[[1, 2, 3], [255] * 3]]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    deep = np.array([[0, 128, 129, 257], [32767, 32768, 65534, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / f"deep.{suffix}")
    image = read_image(tmp_path / f"deep.{suffix}")
    np.testing.assert_array_equal(image[:, :, 0], [[0, 0, 1, 1], [127, 128, 255, 255]])
    np.testing.assert_array_equal(image[:, :, 0], np.round(deep / 65535 * 255))
    np.testing.assert_array_equal(image[:, :, 0], image[:, :, 2])


def test_cmyk_jpeg_has_its_colours(tmp_path: Path) -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red.save(tmp_path / "cmyk.jpg", quality=95)
    pixel = read_image(tmp_path / "cmyk.jpg")[8, 8]
    assert pixel[0] > 240
    assert pixel[1:].max() < 15


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    # One bright corner and one half-bright edge tell all eight orientations apart.
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255
    upright[:8, 16:24] = 128
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"turned.{suffix}"
    options = {"quality": 95} if suffix in ("jpg", "webp") else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(file, exif=exif, **options)
    np.testing.assert_allclose(read_image(file).astype(int), upright, atol=40)


def test_unreadable_exif_does_not_spoil_a_good_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.webp", lossless=True, exif=b"II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_image(tmp_path / "a.webp"), RGB)
    assert "EXIF data ignored" in caplog.text


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "lime")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.unique(read_image(tmp_path / "a.gif").reshape(-1, 3), axis=0).tolist() == [
        [255, 0, 0]
    ]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds a single row of nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)


def whole_png() -> bytes:
    return encode_png(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "found an empty file"),
        ("text.png", b"this is no picture\n" * 10, "expected a picture"),
        ("cut.png", whole_png()[:3000], "damaged"),
        ("flipped.png", whole_png()[:200] + b"\xff" * 9 + whole_png()[209:], "damaged"),
        ("huge.png", png_header(60_000, 60_000), "found many more"),
        ("large.png", png_header(10_001, 10_000), "found 10001 x 10000"),
        ("hollow.png", png_header(10_000, 10_000), "damaged"),
    ],
)
def test_bad_files_are_refused_by_name(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)


def test_cut_jpeg_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    noise = RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    with pytest.raises(ImageError, match=r"cut\.jpg"):
        read_image(tmp_path / "cut.jpg")
    with pytest.raises(ImageError, match="found nothing"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="found a folder"):
        read_image(tmp_path)


def test_formats_that_are_not_listed_are_refused(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.ppm")
    with pytest.raises(ImageError, match="expected a picture"):
        read_image(tmp_path / "a.ppm")
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(ImageError, match="floating point"):
        read_image(tmp_path / "float.tiff")


@pytest.mark.parametrize(
    "array", [RGB, GREY, RANDOM.integers(0, 65536, (4, 9), dtype=np.uint16)], ids=str
)
def test_png_keeps_shape_type_and_values(array: np.ndarray) -> None:
    decoded = decode_png(encode_png(array))
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded, array)
    assert encode_png(array[::-1][::-1]) == encode_png(array)


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4), np.float32), np.zeros((0, 4), np.uint8)],
)
def test_what_png_cannot_hold_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="expected uint8"):
        encode_png(array)


@pytest.mark.parametrize("data", [b"", b"GIF89a", whole_png()[:500], png_header(60_000, 60_000)])
def test_bytes_that_are_no_png_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode_png(data)
