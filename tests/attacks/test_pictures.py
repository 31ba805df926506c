"""Picture files of strangers: refused in one line, or read, with little memory and without help."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foundation.images import image_file as picture_file
from foundation.images.reading import MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, decode_png, read_image
from rim.evaluation.datasets.label_files import read_label_map
from schemas.errors import ImageError
from tests.attacks.hostile_pictures import (
    BOMBS,
    HARMLESS,
    encoded,
    good_png,
    png,
    png_chunk,
)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"0" * 64)
PEAK = 400  # MB: what reading the whole file takes, and a few pixels

READ_ALL = """
import json, resource, sys
from pathlib import Path
from foundation.images.reading import read_image
from schemas.errors import ImageError

read_image(Path(sys.argv[1]) / "good.png")
outcomes = {}
for path in sorted(Path(sys.argv[1]).glob("*.bin")):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        text = str(read_image(path).shape)
    except ImageError as error:
        text = f"refused: {error}"
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    outcomes[path.stem] = [text, peak]
print(json.dumps(outcomes))
"""


SLOW = {"png-of-many-chunks", "png-pixels-by-the-byte", "gif-comment-of-30MB"}


@pytest.mark.parametrize("all_of_them", [False, pytest.param(True, marks=pytest.mark.stress)])
def test_bombs_are_refused_and_harmless_ones_read_in_little_memory(
    tmp_path: Path, all_of_them: bool
) -> None:
    """In a process of its own, whose memory is nobody else's; it would be ended if it halted."""
    bombs = [name for name in BOMBS if all_of_them or name not in SLOW]
    for name in (*bombs, *HARMLESS):
        (tmp_path / f"{name}.bin").write_bytes({**BOMBS, **HARMLESS}[name]())
    Image.new("RGB", (4, 4)).save(tmp_path / "good.png")
    ended = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 0, ended.stderr
    outcomes = json.loads(ended.stdout)
    for name in bombs:
        text, _ = outcomes[name]
        assert re.fullmatch(rf"refused: .*/{re.escape(name)}\.bin: .*", text), text
    for name in HARMLESS:
        assert outcomes[name][0].endswith(", 3)"), outcomes[name]
    assert {name: peak for name, (_, peak) in outcomes.items() if peak > PEAK} == {}
    # What is told beside the results comes from us: damaged EXIF data is ignored, and said to be.
    assert all("EXIF data ignored" in line for line in ended.stderr.splitlines())


@pytest.mark.parametrize("limit", ["reads_left", "bytes_left"])
def test_reading_again_and_again_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """The three slow ones of `SLOW` made small, with a limit as small."""
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 2, png_chunk(b"prVt", bytes(1000)) * 100, rows=good_png()))
    assert read_image(path).shape == (2, 2, 3)
    if limit == "reads_left":
        monkeypatch.setattr(picture_file._Reader, "reads_left", 200)
    else:
        monkeypatch.setattr(picture_file, "_LEAST_HEADER", 20_000)
    with pytest.raises(ImageError, match="far more parts than a picture of its size"):
        read_image(path)


def test_limits_hold_for_what_they_say(tmp_path: Path) -> None:
    assert MAX_SIDE**2 > MAX_PIXELS
    path = tmp_path / "a.png"
    Image.new("1", (MAX_SIDE, 2)).save(path)
    assert read_image(path).shape == (2, MAX_SIDE, 3)
    for size in ((MAX_SIDE + 1, 1), (1, MAX_SIDE + 1)):
        Image.new("1", size).save(path)
        with pytest.raises(ImageError, match=f"sides of at most 30,000 pixels, found {size[0]} x"):
            read_image(path)
        with pytest.raises(ImageError, match="sides of at most"):
            read_label_map(path)
        with pytest.raises(ImageError, match="PNG in memory: expected sides of at most"):
            decode_png(path.read_bytes())


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.write(encoded("PNG", Image.new("RGB", (4, 4))))
        file.truncate(5 << 30)  # holes: it takes no space
    with pytest.raises(ImageError, match=r"huge\.png: expected a picture file of at most 512 MiB"):
        read_image(path)
    assert MAX_FILE_BYTES == 512 << 20


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link-to-pipe.png").symlink_to("pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "broken.png").symlink_to("nowhere.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.png"))
    expected = {
        "pipe.png": "found no regular file",
        "link-to-pipe.png": "found no regular file",
        "folder.png": "found a folder",
        "loop.png": "cannot be read",
        "broken.png": "found nothing",
        "socket.png": "cannot be read",
        "nul\0byte.png": "found nothing",
        "x" * 300 + ".png": "cannot be read",
        "good.png/inner.png": "found nothing",
    }
    Image.new("RGB", (4, 4)).save(tmp_path / "good.png")
    for name, found in expected.items():
        with pytest.raises(ImageError, match=found):
            read_image(tmp_path / name)
    with pytest.raises(ImageError, match=r"/dev/zero: .* found no regular file"):
        read_image("/dev/zero")


def test_a_link_to_a_picture_is_followed(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), "red").save(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to("a.png")
    assert read_image(tmp_path / "link.png").shape == (3, 4, 3)


OTHER_FORMATS = {
    "a.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "a.pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "a.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "a.ico": encoded("ICO", Image.new("RGB", (16, 16))),
    "a.ppm": encoded("PPM", Image.new("RGB", (16, 16))),
    "a.icns": b"icns" + bytes(60),
    "a.psd": b"8BPS" + bytes(60),
    "a.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
    "a.wmf": b"\xd7\xcd\xc6\x9a\0\0" + bytes(60),
    "a.dcm": bytes(128) + b"DICM",
    "a.npy": b"\x93NUMPY\x01\0",
    "a.zip": b"PK\x03\x04" + bytes(60),
}

LOADED_PLUGINS = """
import sys
from pathlib import Path
from foundation.images.reading import read_image
from schemas.errors import ImageError

for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_image(path)
    except ImageError as error:
        assert "expected a picture" in str(error), error
    else:
        raise SystemExit(f"{path} was read")
print(*sorted(name for name in sys.modules if name.endswith("ImagePlugin")))
"""


def test_other_formats_are_refused_and_their_readers_not_even_loaded(tmp_path: Path) -> None:
    """Also where they are called .png; some of those readers start other programs."""
    for name, data in OTHER_FORMATS.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / f"{name}.png").write_bytes(data)
    ended = subprocess.run(
        [sys.executable, "-c", LOADED_PLUGINS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 0, ended.stderr
    ours = {
        f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Ppm", "Png", "Tiff", "WebP")
    }
    assert set(ended.stdout.split()) <= ours


def test_a_pointer_of_git_lfs_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(POINTER)
    for read in (read_image, read_label_map):
        with pytest.raises(ImageError, match=r"a\.png: .*found a Git LFS pointer.*git lfs pull"):
            read(path)


def test_a_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\n\u202erim: done\udcff.png"
    path.write_bytes(b"no picture")
    for read in (read_image, read_label_map):
        with pytest.raises(ImageError) as caught:
            read(path)
        text = str(caught.value)
        assert text.isprintable()
        assert r"a\x1b[31m\n\u202erim: done\udcff.png" in text


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_read_in_strips_is_the_same(tmp_path: Path, orientation: int) -> None:
    """More rows than are converted at a time, against one conversion of the whole."""
    random = np.random.default_rng(0)
    values = random.integers(0, 256, (2100, 4200, 2), dtype=np.uint8)
    picture = Image.fromarray(values, "LA")
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif, compress_level=0)
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    whole = np.asarray(Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB"))
    expected = np.rot90(whole, -1) if orientation == 6 else whole
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def test_pictures_are_opened_in_one_place_alone() -> None:
    """So that no other way to them lacks the limits."""
    repository = Path(__file__).parents[2]
    packages = ("schemas", "foundation", "bank_builder", "query", "rim", "miniature", "benchmarks")
    found = [
        str(path.relative_to(repository))
        for package in packages
        for path in sorted((repository / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "Image.open"
    ]
    assert found == ["foundation/images/image_file.py"]
