"""Good pictures of every kind that is read, to be damaged."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image

from miniature.world import draw_scene
from tests.attacks.hostile_pictures import PNG_START, bmp, encoded, png_chunk, tiff, tiff_entries


def good_pictures() -> dict[str, bytes]:
    """Files by name, whose ending says what they are; 48 pixels high, 64 wide, all of one scene."""
    scene = draw_scene(3, (48, 64)).image
    rgb = Image.fromarray(scene)
    grey = rgb.convert("L")
    palette = rgb.convert("P")
    bits = grey.convert("1")
    alpha = rgb.copy()
    alpha.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    cmyk = rgb.convert("CMYK")
    profile = zlib.compress(bytes(300))
    return {
        "rgb.png": encoded("PNG", rgb, exif=exif),
        "palette.png": encoded("PNG", palette, transparency=3),
        "alpha.png": encoded("PNG", alpha, dpi=(300, 300)),
        "deep.png": encoded("PNG", deep),
        "bits.png": encoded("PNG", bits),
        "animated.png": encoded("PNG", rgb, save_all=True, append_images=[rgb.rotate(90)]),
        "interlaced.png": interlaced_png(scene),
        "base.jpg": encoded("JPEG", rgb, exif=exif, icc_profile=profile, comment=b"words"),
        "progressive.jpg": encoded("JPEG", rgb, progressive=True, quality=95),
        "cmyk.jpg": encoded("JPEG", cmyk),
        "grey.jpg": encoded("JPEG", grey, restart_marker_blocks=2),
        "two.jpg": encoded("MPO", rgb, save_all=True, append_images=[rgb]),
        "lossy.webp": encoded("WEBP", rgb, exif=exif),
        "lossless.webp": encoded("WEBP", alpha, lossless=True),
        "animated.webp": encoded("WEBP", rgb, save_all=True, append_images=[rgb.rotate(90)]),
        "rgb.bmp": encoded("BMP", rgb),
        "palette.bmp": encoded("BMP", palette),
        "bits.bmp": encoded("BMP", bits),
        "alpha.bmp": encoded("BMP", alpha),
        "runs.bmp": bmp(64, 48, bits=8, compression=1, tail=bytes(1024) + b"\x40\x07\0\0" * 48),
        "raw.tiff": encoded("TIFF", rgb, exif=exif),
        "lzw.tiff": encoded("TIFF", palette, compression="tiff_lzw"),
        "deflate.tiff": encoded("TIFF", deep, compression="tiff_adobe_deflate"),
        "packbits.tiff": encoded("TIFF", cmyk, compression="packbits"),
        "fax.tiff": encoded("TIFF", bits, compression="group4"),
        "jpeg.tiff": encoded("TIFF", rgb, compression="jpeg"),
        "alpha.tiff": encoded("TIFF", alpha, tiffinfo={700: b"<xmp/>"}),
        "pages.tiff": encoded("TIFF", grey, save_all=True, append_images=[grey]),
        "big.tiff": encoded("TIFF", rgb, big_tiff=True),
        "strips.tiff": striped_tiff(np.asarray(grey)),
        "palette.gif": encoded("GIF", palette, comment=b"words"),
        "animated.gif": encoded("GIF", palette, save_all=True, append_images=[rgb.rotate(90)]),
    }


def interlaced_png(image: np.ndarray) -> bytes:
    """An Adam7 PNG; Pillow writes none."""
    height, width = image.shape[:2]
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1))  # fmt: skip
    rows = [
        b"\0" + row.tobytes()
        for top, left, down, right in passes
        for row in image[top::down, left::right]
    ]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    pixels = png_chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return PNG_START + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")


def striped_tiff(grey: np.ndarray) -> bytes:
    """A grey TIFF of a strip for every row."""
    height, width = grey.shape
    entries = [*tiff_entries(width, height), (278, 4, 1, 1)]
    behind = 8 + 2 + 12 * (len(entries) + 2) + 4
    pixels = behind + 8 * height
    strips = struct.pack(f"<{height}L", *[pixels + row * width for row in range(height)])
    sizes = struct.pack(f"<{height}L", *[width] * height)
    entries = [*entries, (273, 4, height, behind), (279, 4, height, behind + 4 * height)]
    return tiff(sorted(entries), strips + sizes + grey.tobytes())
