"""Damaged pictures: each is read, or refused in one line that names the file."""

from __future__ import annotations

import contextlib
import random
import resource
from pathlib import Path

import pytest

from foundation.images.reading import MAX_PIXELS, MAX_SIDE, decode_png, read_image
from schemas.errors import ImageError
from tests.fuzz.mutations import mutated
from tests.fuzz.pictures import good_pictures

PEAK = 1700  # MB, of the largest picture: see `read_image`


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    """The files that are damaged."""
    return good_pictures()


def test_the_undamaged_ones_are_read(tmp_path: Path, good: dict[str, bytes]) -> None:
    for name, data in good.items():
        (tmp_path / name).write_bytes(data)
        turned = name in ("rgb.png", "base.jpg", "lossy.webp", "raw.tiff")
        assert read_image(tmp_path / name).shape == ((64, 48, 3) if turned else (48, 64, 3)), name


def read_damaged(
    count: int, folder: Path, good: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    others = list(good.values())
    names = list(good)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, named, messages = 0, 0, []
    for seed in range(count):
        name = names[seed % len(names)]
        data = mutated(good[name], random.Random(seed), others)
        path = folder / f"{seed}-{name}"
        path.write_bytes(data)
        try:
            image = read_image(path)
        except ImageError as error:
            messages.append(str(error))
            named += messages[-1].startswith(f"{path}: ")
        else:
            read += 1
            assert image.ndim == 3
            assert image.shape[2] == 3
            assert 0 < image.size <= 3 * MAX_PIXELS
            assert max(image.shape) <= MAX_SIDE
        with contextlib.suppress(ImageError):
            decode_png(data)
        path.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < PEAK
    assert named == len(messages)
    assert all(one.isprintable() and len(one) < 500 for one in messages)
    assert 0.1 * count < read < 0.9 * count  # neither harmless nor hopeless
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")  # no decoder speaks for itself


def test_two_thousand_damaged_pictures(
    tmp_path: Path, good: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    read_damaged(2048, tmp_path, good, capfd)


@pytest.mark.stress
def test_sixty_thousand_damaged_pictures(
    tmp_path: Path, good: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    read_damaged(60_000, tmp_path, good, capfd)
