"""Which photos go in, and what is refused before any work."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from query.exports.inputs import InputImage, check_outputs, collect_inputs
from schemas.errors import OutputError, UsageError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos, and other things that are none."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    folder = tmp_path / "photos"
    (folder / "deeper.png").mkdir(parents=True)
    for name in ("b.JPG", "a.png", ".hidden.png", "notes.txt", "a.labels.png", "a.overlay.png"):
        (folder / name).write_bytes(buffer.getvalue())
    return folder


def test_a_folder_stands_for_its_images(photos: Path) -> None:
    assert collect_inputs([photos]) == (
        InputImage(photos / "a.png", "a"),
        InputImage(photos / "b.JPG", "b"),
    )


def test_files_stand_for_themselves_and_count_once(photos: Path) -> None:
    notes, again = photos / "notes.txt", photos / ".." / "photos" / "a.png"
    inputs = collect_inputs([notes, str(photos), again])
    assert [image.name for image in inputs] == ["notes", "a", "b"]


def test_two_photos_of_one_name_are_refused(photos: Path, tmp_path: Path) -> None:
    for other in ("A.png", "a.jpg"):
        (tmp_path / other).write_bytes(b"")
        with pytest.raises(UsageError, match=r"different names, found .*a\.png and .*query them"):
            collect_inputs([photos / "a.png", tmp_path / other])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing.png", "nothing.png: expected an image file or a folder"),
        ("empty", "empty: expected images .* found none in this folder"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        collect_inputs([tmp_path / path])
    with pytest.raises(UsageError, match="at least one image"):
        collect_inputs([])


def test_a_result_never_replaces_a_photo(tmp_path: Path) -> None:
    photo, other = tmp_path / "x.png", tmp_path / "x.overlay.png"
    for path in (photo, other):
        path.write_bytes(b"")
    inputs = collect_inputs([photo, other])
    check_outputs(inputs, tmp_path / "out")
    check_outputs(inputs, tmp_path, ["labels"])
    with pytest.raises(OutputError, match=r"x\.overlay\.png: the result of .*x\.png would replace"):
        check_outputs(inputs, tmp_path)
    with pytest.raises(OutputError, match="expected a folder"):
        check_outputs(inputs, photo)
