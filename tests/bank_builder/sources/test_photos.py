"""One photo as the bank keeps it: upright, not too large, with its mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bank_builder.sources.photos import LONG_SIDE, FoundPhoto, read_mask, read_photo
from schemas.digests import sha256_file
from schemas.errors import ImageError
from schemas.records import PhotoRecord


def found(path: Path, mask: Path | None = None) -> FoundPhoto:
    mask_sha256 = None if mask is None else sha256_file(mask)
    record = PhotoRecord(file=path.name, sha256=sha256_file(path), mask_sha256=mask_sha256)
    return FoundPhoto(record, path, mask)


def random_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_a_photo_lies_as_a_viewer_shows_it_and_so_does_its_mask(tmp_path: Path) -> None:
    image = random_image(4, 6)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(image).save(tmp_path / "a.png", exif=turned)
    mask = np.zeros((6, 4), np.uint8)
    mask[:2] = 255
    Image.fromarray(mask).save(tmp_path / "a.mask.png")

    made = read_photo(found(tmp_path / "a.png", tmp_path / "a.mask.png"))

    assert np.array_equal(made.pixels, np.rot90(image, -1))
    assert made.mask is not None
    assert np.array_equal(made.mask, mask > 0)
    Image.fromarray(mask.T).save(tmp_path / "a.mask.png")
    with pytest.raises(ImageError, match=r"mask of a\.png: .*4 x 6 pixels, found 6 x 4"):
        read_photo(found(tmp_path / "a.png", tmp_path / "a.mask.png"))


def test_a_large_photo_is_scaled_down_by_areas_and_its_mask_with_it(tmp_path: Path) -> None:
    image = random_image(200, 2 * LONG_SIDE)
    Image.fromarray(image).save(tmp_path / "a.png")
    mask = np.repeat(np.repeat(np.random.default_rng(1).random((100, LONG_SIDE)) < 0.5, 2, 0), 2, 1)
    Image.fromarray(mask).save(tmp_path / "a.mask.png")

    made = read_photo(found(tmp_path / "a.png", tmp_path / "a.mask.png"))

    assert made.pixels.shape == (100, LONG_SIDE, 3)
    means = image.reshape(100, 2, LONG_SIDE, 2, 3).mean(axis=(1, 3))
    assert np.abs(made.pixels - means).max() <= 1  # rounded, first along rows, then columns
    assert made.mask is not None
    assert np.array_equal(made.mask, mask[::2, ::2])


def test_a_photo_of_the_largest_size_is_stored_as_it_is(tmp_path: Path) -> None:
    image = random_image(3, LONG_SIDE)
    Image.fromarray(image).save(tmp_path / "a.png")
    assert np.array_equal(read_photo(found(tmp_path / "a.png")).pixels, image)


def test_a_photo_that_changes_while_the_bank_is_built_is_not_read(tmp_path: Path) -> None:
    Image.fromarray(random_image(4, 4)).save(tmp_path / "a.png")
    listed = found(tmp_path / "a.png")
    Image.fromarray(random_image(5, 5)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: it has changed since the build began"):
        read_photo(listed)
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png: cannot be read"):
        read_photo(listed)


WANTED = np.array([[False, True, True, False]])


def grey(values: list[int], dtype: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.array([values], dtype))


def palette() -> Image.Image:
    """Index 0 is white and index 3 black: what counts is what one sees."""
    image = grey([3, 0, 1, 3]).copy()
    image.putpalette([255, 255, 255, 9, 9, 9, 0, 0, 0, 0, 0, 0])
    return image


def transparent() -> Image.Image:
    colours = [(0, 0, 0, 255), (0, 0, 1, 255), (9, 9, 9, 1), (255, 255, 255, 0)]
    return Image.fromarray(np.array([colours], np.uint8))


@pytest.mark.parametrize(
    "image",
    [
        grey([0, 1, 255, 0]),
        grey([0, 1, 65535, 0], np.uint16),
        grey([0, 1, 255, 0]).point(lambda value: 255 if value else 0).convert("1"),
        Image.fromarray(np.array([[[0, 0, 0], [0, 0, 1], [1, 2, 3], [0, 0, 0]]], np.uint8)),
        palette(),
        transparent(),
    ],
    ids=["grey", "16 bits", "1 bit", "colours", "palette", "transparent"],
)
def test_a_mask_is_whatever_is_not_black(tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "a.mask.png")
    assert np.array_equal(read_mask(tmp_path / "a.mask.png", (1, 4), "a"), WANTED)


def test_a_mask_that_is_no_png(tmp_path: Path) -> None:
    grey([0, 1, 255, 0]).save(tmp_path / "a.mask.png", format="JPEG")
    with pytest.raises(ImageError, match=r"the mask of a: expected a mask \(PNG\), found JPEG"):
        read_mask(tmp_path / "a.mask.png", (1, 4), "the mask of a")
