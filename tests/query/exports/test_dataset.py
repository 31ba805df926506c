"""The data set's folder, read plainly: every row's files are there and belong together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from foundation.images.reading import read_image
from query.exports.dataset import encode_pair, write_dataset
from tests.query.exports.results import NAMES, finished, random_result, segmentation, target, write


def labels_in(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_rows_files_names_and_card_belong_together(tmp_path: Path) -> None:
    results = [random_result(1), random_result(2), segmentation(np.full((4, 4), -1))]
    files = []
    for i, result in enumerate(results):
        pair = encode_pair(result, target(tmp_path))
        renamed = [Path(tmp_path, one.path.replace("a0", f"a{i}")) for one in pair]
        for path, one in zip(renamed, pair, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.data)
        files.append(["dataset/images/NAME.png", "dataset/labels/NAME.png"])
    write_dataset(finished(tmp_path, results, files))
    folder = tmp_path / "dataset"
    id2label = json.loads((folder / "id2label.json").read_text("utf-8"))
    assert id2label == {"0": "unlabelled", "1": "fish", "3": "grün, <b>", "4": "house"}
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").split("\n")
            if line]  # fmt: skip
    assert len(rows) == 3
    for row, result in zip(rows, results, strict=True):
        np.testing.assert_array_equal(read_image(folder / row["file_name"]), result.image)
        labels = labels_in(folder / row["label_file_name"])
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, result.label_map + 1)
        numbers = [str(label) for label in np.unique(labels) if label > 0]
        assert row["categories"] == [id2label[number] for number in numbers]
    named = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    in_rows = {row[key] for row in rows for key in ("file_name", "label_file_name")}
    assert named == in_rows | {"metadata.jsonl", "id2label.json", "README.md"}


def test_the_card_says_what_the_columns_are_and_counts(tmp_path: Path) -> None:
    results = [segmentation(np.array([[0, 0, 3], [3, 3, -1]])), segmentation(np.zeros((10, 200)))]
    paths = [["dataset/images/NAME.jpg"], ["dataset/images/NAME.webp"]]
    (tmp_path / "dataset").mkdir()
    write_dataset(finished(tmp_path, results, paths))
    _, front, text = (tmp_path / "dataset" / "README.md").read_text("utf-8").split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["task_categories"] == ["image-segmentation"]
    columns = {one["name"] for one in matter["dataset_info"]["features"]}
    assert columns == {"image", "label", "photo", "categories"}
    assert "| 1 | fish | 2 | 2,002 |" in text
    assert r"| 3 | grün, \<b\> | 0 | 0 |" in text
    assert "| 4 | house | 1 | 3 |" in text


def photo_file(folder: Path, kind: str) -> Path:
    """A photo of 4 x 6 in the manner of `kind`."""
    colours = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    image = Image.fromarray(colours)
    path = folder / "photo.file"
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, "JPEG", exif=exif)
    elif kind == "frames":
        image.save(path, "WEBP", save_all=True, append_images=[image.rotate(180)], lossless=True)
    elif kind in ("RGBA", "P", "I;16"):
        odd = Image.new("I;16", (6, 4), 4000) if kind == "I;16" else image.convert(kind)
        odd.save(path, "PNG")
    else:
        image.convert("L" if kind == "grey" else "RGB").save(
            path, "PNG" if kind == "grey" else kind
        )
    return path


@pytest.mark.parametrize(
    ("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("grey", ".png")]
)
def test_a_photo_that_all_readers_show_alike_is_copied(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    photo = photo_file(tmp_path, kind)
    result = segmentation(np.zeros((4, 6)))
    written = write(tmp_path, encode_pair(result, target(tmp_path, photo)))
    assert written[0] == tmp_path / "dataset" / "images" / f"a0{suffix}"
    assert written[0].read_bytes() == photo.read_bytes()


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "GIF", "turned", "frames", "RGBA", "P", "I;16"])
def test_any_other_photo_is_written_as_it_was_labelled(tmp_path: Path, kind: str) -> None:
    photo = photo_file(tmp_path, kind)
    seen = read_image(photo)
    result = segmentation(np.zeros(seen.shape[:2]))
    result = type(result)(seen, result.label_map, (), NAMES, 7)
    written = write(tmp_path, encode_pair(result, target(tmp_path, photo)))
    assert written[0].name == "a0.png"
    np.testing.assert_array_equal(labels_in(written[0]), seen)


def test_many_categories_take_16_bits(tmp_path: Path) -> None:
    """Of the bank, also where this photo has none of them: all of a data set's are alike."""
    for last, bits in ((254, np.uint8), (255, np.uint16)):
        result = segmentation(np.zeros((2, 2)), names={0: "fish", last: "far"})
        _, path = write(tmp_path, encode_pair(result, target(tmp_path)))
        assert labels_in(path).dtype == bits
        assert (labels_in(path) == 1).all()
