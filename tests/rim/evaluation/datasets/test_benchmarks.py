"""Every benchmark's official layout becomes the right classes, pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from rim.evaluation.datasets.base import Dataset
from rim.evaluation.datasets.choice import BENCHMARKS
from rim.evaluation.datasets.label_files import read_label_map
from rim.evaluation.datasets.opening import OPENERS
from schemas.errors import ImageError, UsageError
from tests.rim.evaluation.datasets.official import (
    Rows,
    grey_16,
    grey_png,
    lines,
    mat,
    palette_png,
    photo,
    write_voc,
)

# The 59 classes among the 459 numbers, as mmsegmentation's converter lists them.
CONTEXT59_NUMBERS = [
    *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98),
    *(
        104,
        105,
        113,
        115,
        144,
        158,
        159,
        162,
        187,
        189,
        207,
        220,
        232,
        258,
        259,
        260,
        284,
        295,
        296,
        308,
    ),
    *(
        324,
        326,
        347,
        349,
        354,
        355,
        360,
        366,
        368,
        397,
        415,
        416,
        420,
        424,
        427,
        440,
        445,
        454,
        458,
    ),
]


def read(name: str, root: Path, split: str = "val") -> Dataset:
    return OPENERS[name](name, root, split)


def truths(dataset: Dataset) -> dict[str, Any]:
    return {item.name: item.load().truth.tolist() for item in dataset.items}


def test_all_benchmarks_can_be_read() -> None:
    assert tuple(OPENERS) == BENCHMARKS


@pytest.mark.parametrize("below", ["VOCdevkit/VOC2012", "VOCdevkit", "."])
def test_voc(tmp_path: Path, below: str) -> None:
    write_voc(tmp_path, {"2007_000033": [[0, 1, 20], [255, 0, 2]], "2007_000042": [[20, 255]]})
    root = tmp_path / below
    with_background = read("voc21", root)
    assert truths(with_background) == {
        "2007_000033": [[0, 1, 20], [-1, 0, 2]],
        "2007_000042": [[20, -1]],
    }
    assert [c.name for c in with_background.classes][:2] == ["background", "aeroplane"]
    assert len(with_background.classes) == 21
    without = read("voc20", root)
    assert truths(without) == {
        "2007_000033": [[-1, 0, 19], [-1, -1, 1]],
        "2007_000042": [[19, -1]],
    }
    assert (without.classes[0].name, without.classes[19].name) == ("aeroplane", "tvmonitor")
    assert len(without.classes) == 20


def test_voc_has_other_lists(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"2007_000033": [[0, 1]]})
    lines(folder / "ImageSets" / "Segmentation" / "train.txt", ["2007_999999"])
    assert list(truths(read("voc21", folder, "train"))) == ["2007_999999"]
    with pytest.raises(UsageError, match="expected --split val or train or trainval, found 'test'"):
        read("voc21", folder, "test")


def test_context_as_mmsegmentation_prepares_it(tmp_path: Path) -> None:
    folder = tmp_path / "VOCdevkit" / "VOC2010"
    labels = [[0, 1, 59], [2, 0, 58]]
    photo(folder / "JPEGImages" / "2008_000002.jpg", labels)
    grey_png(folder / "SegmentationClassContext" / "2008_000002.png", labels)
    lines(folder / "ImageSets" / "SegmentationContext" / "val.txt", ["2008_000002"])
    of60 = read("context60", tmp_path)
    assert truths(of60) == {"2008_000002": labels}
    assert len(of60.classes) == 60
    of59 = read("context59", tmp_path)
    assert truths(of59) == {"2008_000002": [[-1, 0, 58], [1, -1, 57]]}
    assert (of59.classes[0].name, of59.classes[58].name) == ("aeroplane", "wood")


def test_context_from_the_official_label_maps(tmp_path: Path) -> None:
    folder = tmp_path / "VOC2010"
    labels = [[0, *CONTEXT59_NUMBERS], [1, *[459] * 59]]  # 1, accordion, and 459, wool: not in 59
    photo(folder / "JPEGImages" / "2008_000002.jpg", labels)
    mat(folder / "trainval" / "2008_000002.mat", labels)
    lines(folder / "pascalcontext_val.txt", ["2008_000002"])
    assert truths(read("context60", tmp_path)) == {"2008_000002": [[*range(60)], [0] * 60]}
    assert truths(read("context59", tmp_path)) == {"2008_000002": [[-1, *range(59)], [-1] * 60]}


def test_context459_in_both_preparations(tmp_path: Path) -> None:
    folder = tmp_path / "VOC2010"
    photo(folder / "JPEGImages" / "2008_000002.jpg", [[0, 0, 0]])
    mat(folder / "trainval" / "2008_000002.mat", [[0, 1, 459]])
    lines(folder / "ImageSets" / "SegmentationContext" / "val.txt", ["2008_000002"])
    official = read("context459", folder)
    assert truths(official) == {"2008_000002": [[-1, 0, 458]]}
    assert (official.classes[0].name, official.classes[458].name) == ("accordion", "wool")
    # The converters subtract 1 in 16 bits, so that 0 becomes 65535.
    grey_16(folder / "annotations_detectron2" / "pc459_val" / "2008_000002.tif", [[65535, 0, 458]])
    prepared = read("context459", folder)
    assert truths(prepared) == truths(official)
    assert prepared.items[0].mark != official.items[0].mark, "the .tif is preferred"


def test_ade150(tmp_path: Path) -> None:
    folder = tmp_path / "ADEChallengeData2016"
    for name, labels in {"ADE_val_00000001": [[0, 1, 150]], "ADE_val_00000002": [[2, 0]]}.items():
        photo(folder / "images" / "validation" / f"{name}.jpg", labels)
        grey_png(folder / "annotations" / "validation" / f"{name}.png", labels)
    dataset = read("ade150", tmp_path)
    assert truths(dataset) == {"ADE_val_00000001": [[-1, 0, 149]], "ADE_val_00000002": [[1, -1]]}
    assert (dataset.classes[0].name, dataset.classes[149].name) == ("wall", "flag")


def test_ade847(tmp_path: Path) -> None:
    folder = tmp_path / "ADE20K_2021_17_01"
    photo(folder / "images_detectron2" / "validation" / "ADE_val_00000001.jpg", [[0, 0, 0]])
    grey_16(
        folder / "annotations_detectron2" / "validation" / "ADE_val_00000001.tif",
        [[0, 846, 65535]],
    )
    dataset = read("ade847", tmp_path)
    assert truths(dataset) == {"ADE_val_00000001": [[0, 846, -1]]}
    assert len(dataset.classes) == 847


# person, stop sign (after the unused 11), wood (the last); none, banner (the first stuff), and
# toothbrush (the last thing).
PIXEL_MAP = [[0, 12, 181], [255, 91, 89]]
STUFF = [[0, 11, 170], [-1, 80, 79]]
OBJECTS = [[1, 12, 0], [0, 0, 80]]


@pytest.mark.parametrize(
    ("images", "labels", "numbers"),
    [
        ("images/val2017", "annotations/val2017/ID_labelTrainIds.png", [*STUFF[:1], [255, 80, 79]]),
        ("images/val2017", "annotations/val2017/ID.png", PIXEL_MAP),
        ("val2017", "stuffthingmaps/val2017/ID.png", PIXEL_MAP),
        ("val2017", "stuffthingmaps_trainval2017/val2017/ID.png", PIXEL_MAP),
        ("val2017", "stuffthingmaps_detectron2/val2017/ID.png", [*STUFF[:1], [255, 80, 79]]),
    ],
)
def test_coco_stuff(tmp_path: Path, images: str, labels: str, numbers: Rows) -> None:
    photo(tmp_path / "coco" / images / "000000000139.jpg", PIXEL_MAP)
    grey_png(tmp_path / "coco" / labels.replace("ID", "000000000139", 1), numbers)
    dataset = read("coco-stuff", tmp_path)
    assert truths(dataset) == {"000000000139": STUFF}
    assert [dataset.classes[i].name for i in (0, 11, 79, 80, 170)] == [
        "person",
        "stop sign",
        "toothbrush",
        "banner",
        "wood",
    ]
    assert dataset.groups == ("thing",) * 80 + ("stuff",) * 91


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [("ID_instanceTrainIds.png", OBJECTS), ("ID.png", PIXEL_MAP)],
)
def test_coco_object(tmp_path: Path, labels: str, numbers: Rows) -> None:
    photo(tmp_path / "images" / "val2017" / "000000000139.jpg", PIXEL_MAP)
    masks = tmp_path / "annotations" / "val2017"
    grey_png(masks / labels.replace("ID", "000000000139", 1), numbers)
    dataset = read("coco-object", tmp_path)
    assert truths(dataset) == {"000000000139": OBJECTS}
    assert [dataset.classes[i].name for i in (0, 1, 80)] == ["background", "person", "toothbrush"]
    assert len(dataset.classes) == 81


def test_every_number_of_the_pixel_maps(tmp_path: Path) -> None:
    # COCO's ids of its 80 things, and 92 to 182 of the stuffs; a pixel map holds the id less one.
    spans = ((1, 11), (13, 25), (27, 28), (31, 44), (46, 65), (67, 67), (70, 70), (72, 82))
    things = [one for a, b in (*spans, (84, 90)) for one in range(a, b + 1)]
    labels = [[one - 1 for one in (*things, *range(92, 183))]]
    photo(tmp_path / "val2017" / "000000000139.jpg", labels)
    grey_png(tmp_path / "stuffthingmaps" / "val2017" / "000000000139.png", labels)
    assert truths(read("coco-stuff", tmp_path)) == {"000000000139": [[*range(171)]]}
    objects = [*range(1, 81), *[0] * 91]
    assert truths(read("coco-object", tmp_path)) == {"000000000139": [objects]}


def test_prepared_maps_are_preferred_to_what_they_were_made_of(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "val2017" / "000000000139.jpg", PIXEL_MAP)
    masks = tmp_path / "annotations" / "val2017"
    grey_png(masks / "000000000139.png", PIXEL_MAP)
    grey_png(masks / "000000000139_labelTrainIds.png", [[5, 5, 5], [5, 5, 5]])
    grey_png(masks / "000000000139_instanceTrainIds.png", [[7, 7, 7], [7, 7, 7]])
    assert truths(read("coco-stuff", tmp_path)) == {"000000000139": [[5, 5, 5], [5, 5, 5]]}
    assert truths(read("coco-object", tmp_path)) == {"000000000139": [[7, 7, 7], [7, 7, 7]]}


def instances(path: Path, annotations: list[dict[str, Any]]) -> None:
    lines(
        path,
        [
            json.dumps(
                {
                    "images": [
                        {"id": 139, "file_name": "000000000139.jpg", "height": 4, "width": 6}
                    ],
                    "annotations": annotations,
                }
            )
        ],
    )


def test_coco_object_from_the_instances(tmp_path: Path) -> None:
    photo(tmp_path / "val2017" / "000000000139.jpg", [[0] * 6] * 4)
    crowd = np.zeros((4, 6), dtype=np.uint8, order="F")
    crowd[0] = 1
    table = np.zeros((4, 6), dtype=np.uint8, order="F")
    table[1:, :4] = 1
    compressed = coco.encode(table)
    annotations = [
        # A cup (COCO 47) on the table (67), named before it; people (1) as a crowd in the top row.
        {"category_id": 47, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]], "area": 4, "iscrowd": 0},
        {
            "category_id": 67,
            "segmentation": {"size": [4, 6], "counts": compressed["counts"].decode()},
            "area": 12,
            "iscrowd": 0,
        },
        {
            "category_id": 1,
            "segmentation": {"size": [4, 6], "counts": [0, *[1, 3] * 6]},
            "area": 6,
            "iscrowd": 1,
        },
        {"category_id": 90, "segmentation": [[5, 0, 6, 0, 6, 1, 5, 1]], "area": 1, "iscrowd": 0},
    ]
    instances(
        tmp_path / "annotations" / "instances_val2017.json",
        [{"image_id": 139, **one} for one in annotations],
    )
    # 67 is the 61st of the 80 things, 47 the 42nd, 90 the 80th.
    assert truths(read("coco-object", tmp_path)) == {
        "000000000139": [
            [1, 1, 1, 1, 1, 80],
            [61, 42, 42, 61, 0, 0],
            [61, 42, 42, 61, 0, 0],
            [61, 61, 61, 61, 0, 0],
        ]
    }


def test_damaged_instances_are_one_image_that_cannot_be_scored(tmp_path: Path) -> None:
    photo(tmp_path / "val2017" / "000000000139.jpg", [[0] * 6] * 4)
    path = tmp_path / "annotations" / "instances_val2017.json"
    instances(
        path,
        [{"image_id": 139, "category_id": 11, "segmentation": [[0, 0]], "area": 1, "iscrowd": 0}],
    )
    with pytest.raises(ImageError, match=r"annotations of 000000000139\.jpg cannot be drawn"):
        truths(read("coco-object", tmp_path))
    path.write_text('{"images": []}', encoding="utf-8")
    with pytest.raises(UsageError, match="expected COCO instances"):
        read("coco-object", tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("voc20", "the folder VOCdevkit/VOC2012 with JPEGImages, SegmentationClass, ImageSets"),
        ("context60", "VOCdevkit/VOC2010 with JPEGImages, SegmentationClassContext or trainval"),
        ("context459", r"JPEGImages, annotations_detectron2/pc459_val or trainval in it"),
        ("ade150", "ADEChallengeData2016 with images/validation, annotations/validation"),
        ("ade847", "ADE20K_2021_17_01 with images_detectron2/validation, annotations_detectron2"),
        ("coco-object", "coco_stuff164k with images/val2017 or val2017"),
        ("coco-stuff", "coco_stuff164k with images/val2017 or val2017"),
    ],
)
def test_another_folder_is_refused_with_what_was_found(
    tmp_path: Path, name: str, expected: str
) -> None:
    (tmp_path / "holidays").mkdir()
    with pytest.raises(UsageError, match=rf"{expected}.*found holidays; give that folder"):
        read(name, tmp_path)
    with pytest.raises(UsageError, match="found nothing there"):
        read(name, tmp_path / "nowhere")


def test_a_folder_that_lacks_a_part_is_named_with_that_part(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"2007_000033": [[0]]})
    (folder / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(UsageError, match=r"VOC2012: expected .* ImageSets/Segmentation/val\.txt"):
        read("voc20", tmp_path)
    photo(tmp_path / "val2017" / "000000000139.jpg", [[0]])
    with pytest.raises(UsageError, match="expected label maps of val2017, one of annotations"):
        read("coco-stuff", tmp_path)


@pytest.mark.parametrize("label", [21, 254])
def test_a_number_without_meaning_is_named(tmp_path: Path, label: int) -> None:
    write_voc(tmp_path, {"2007_000033": [[0, label]]})
    with pytest.raises(ImageError, match=rf"2007_000033\.png: .* \(0 to 255\), found {label}"):
        truths(read("voc21", tmp_path))


def test_what_is_missing_or_damaged_is_named_when_it_is_read(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {name: [[0, 1]] for name in ("a", "b", "c", "d")})
    (folder / "JPEGImages" / "a.jpg").unlink()
    (folder / "SegmentationClass" / "b.png").unlink()
    (folder / "SegmentationClass" / "c.png").write_bytes(b"\x89PNG\r\n")
    photo(folder / "SegmentationClass" / "d.png", [[0, 1]])
    messages = [r"a\.jpg: expected an image", r"b\.png: .* found nothing", r"c\.png", "colours"]
    for item, message in zip(read("voc21", tmp_path).items, messages, strict=True):
        with pytest.raises(ImageError, match=message):
            item.load()


def test_lists_are_checked(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"a": [[0]]})
    listed = folder / "ImageSets" / "Segmentation" / "val.txt"
    for words, message in (
        (["a", "a"], "every image once"),
        (["../a"], "without folders"),
        ([""], "found none"),
    ):
        lines(listed, words)
        with pytest.raises(UsageError, match=message):
            read("voc21", tmp_path)


def test_palettes_are_read_as_numbers(tmp_path: Path) -> None:
    palette_png(tmp_path / "p.png", [[3, 200]])
    assert read_label_map(tmp_path / "p.png").tolist() == [[3, 200]]
