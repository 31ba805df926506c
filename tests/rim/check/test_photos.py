"""The masks drawn by hand: they fit the photographs that the installed scikit-image ships."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from rim.check.photos import CheckPhoto, read_check_data
from schemas.errors import RimError
from schemas.resources import check_photos_path

DATA = read_check_data()
RAW = json.loads(check_photos_path().read_text(encoding="utf-8"))
NAMES = [one["file"] for one in RAW["photos"]]


@pytest.fixture(params=range(len(NAMES)), ids=NAMES)
def number(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # within pycocotools
def test_masks_fit_the_photograph_and_each_other(number: int) -> None:
    raw, photo = RAW["photos"][number], DATA.photos[number]
    with Image.open(photo.check_file()) as image:
        assert (image.height, image.width) == photo.size
    times = np.zeros(photo.size, int)
    for name, rle in {**raw["categories"], "ignore": raw["ignore"]}.items():
        decoded = coco.decode({"size": rle["size"], "counts": rle["counts"].encode()})
        assert decoded.shape == photo.size
        times += decoded
        if name != "ignore":
            assert decoded.mean() > 0.01
            assert np.array_equal(decoded.astype(bool), photo.mask(name))
        else:
            assert np.array_equal(decoded == 0, photo.scored())
    assert times.max() == 1


def test_author_licence_and_source_are_stated(number: int) -> None:
    raw = RAW["photos"][number]
    for key in ("author", "licence", "source"):
        assert raw[key]
    readme = (check_photos_path().parent / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {re.escape(raw['file'])} \|(.*)$", readme, re.MULTILINE)
    assert row is not None
    assert all(name in row[1] for name in raw["categories"])


def test_every_category_is_in_a_photograph() -> None:
    shown = [name for photo in DATA.photos for name in photo.categories]
    assert sorted(shown) == sorted(one.name for one in DATA.categories)


def test_another_file_is_refused() -> None:
    other = dataclasses.replace(DATA.photos[0], sha256="0" * 64)
    with pytest.raises(
        RimError, match=r"chelsea\.png: expected the file with SHA-256 000000000000"
    ):
        other.check_file()


def test_a_missing_file_is_named() -> None:
    photo: CheckPhoto = dataclasses.replace(DATA.photos[0], file="no-such.png")
    with pytest.raises(RimError, match=r"no-such\.png: expected a photograph in scikit-image's"):
        photo.check_file()
