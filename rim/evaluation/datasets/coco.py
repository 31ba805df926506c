"""COCO 2017: `coco-stuff` with 171 classes, `coco-object` with 80 things and background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rim.evaluation.datasets.base import (
    BACKGROUND,
    Dataset,
    Item,
    choose_split,
    file_item,
    images_in,
    listing,
    locate,
    shipped_classes,
)
from rim.evaluation.datasets.coco_instances import InstanceTruths
from rim.evaluation.datasets.label_files import IGNORE, LabelTable, read_truth
from schemas.errors import UsageError

THINGS = 80
# Numbers of the official pixel maps (a category's id less one) that no category has.
_UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
OFFICIAL = tuple(number for number in range(182) if number not in _UNUSED)
"""The numbers of the 171 classes in the official pixel maps: 80 things, then 91 stuffs."""

_UNLABELLED = 255
_ROOTS = ("coco_stuff164k", "coco-stuff", "coco")
_PIXEL_MAPS = ("annotations/{part}", "stuffthingmaps/{part}", "stuffthingmaps_trainval2017/{part}")
_PREPARED = ("stuffthingmaps_detectron2/{part}", "annotations_detectron2/{part}")


@dataclass(frozen=True)
class _Maps:
    """One form in which label maps come: FOLDER/NAME + suffix, and what their numbers mean."""

    folder: str
    suffix: str
    table: LabelTable


def coco_stuff(name: str, root: Path, split: str) -> Dataset:
    """Opens COCO-Stuff with 80 things and 91 stuffs; pixels without a label are ignored.

    Photos are in `images/val2017` or `val2017`. Label maps, the first that is there:

    - `annotations/val2017/ID_labelTrainIds.png`: 0 to 170, 255 ignored [peer: mmsegmentation];
    - the official pixel maps, `annotations/val2017/ID.png`, `stuffthingmaps/val2017/ID.png` or
      `stuffthingmaps_trainval2017/val2017/ID.png`: 0 to 181 with eleven numbers unused, 255
      ignored;
    - `stuffthingmaps_detectron2/val2017/ID.png` or `annotations_detectron2/val2017/ID.png`: 0 to
      170, 255 ignored [peer: SAN, OVSeg, CAT-Seg].

    Args:
        name: "coco-stuff".
        root: the folder of these, or the one above if it is called coco_stuff164k, coco-stuff or
            coco.
        split: "val" or "train".

    Raises UsageError for another folder or split.
    """
    classes = shipped_classes(name)
    trained = LabelTable.of({**{i: i for i in range(len(OFFICIAL))}, _UNLABELLED: IGNORE})
    official = {number: index for index, number in enumerate(OFFICIAL)}
    maps = (
        _Maps("annotations/{part}", "_labelTrainIds.png", trained),
        *_official_maps({**official, _UNLABELLED: IGNORE}),
        *(_Maps(folder, ".png", trained) for folder in _PREPARED),
    )
    folder, part, photos = _photos(name, root, split)
    items = _mapped(folder, part, photos, maps)
    if not items:
        raise _no_truth(folder, part, maps, "")
    groups = ("thing",) * THINGS + ("stuff",) * (len(classes) - THINGS)
    return Dataset(name, classes, items, groups)


def coco_object(name: str, root: Path, split: str) -> Dataset:
    """Opens the 80 things of COCO, with background as the first class.

    Background is all that is no thing, also pixels without any label [peer: GroupViT, TCL].

    Photos are in `images/val2017` or `val2017`. Truths, the first that is there:

    - `annotations/val2017/ID_instanceTrainIds.png`: 0 background, 1 to 80 [peer: GroupViT, TCL];
    - the official pixel maps of COCO-Stuff, see `coco_stuff`, which give the same;
    - `annotations/instances_val2017.json`, see `coco_instances.InstanceTruths`.

    Arguments and errors are those of `coco_stuff`.
    """
    classes = (BACKGROUND, *shipped_classes(name))
    prepared = LabelTable.of({i: i for i in range(THINGS + 1)})
    things = {number: index + 1 for index, number in enumerate(OFFICIAL[:THINGS])}
    stuff = dict.fromkeys((*OFFICIAL[THINGS:], _UNLABELLED), 0)
    maps = (
        _Maps("annotations/{part}", "_instanceTrainIds.png", prepared),
        *_official_maps({**things, **stuff}),
    )
    folder, part, photos = _photos(name, root, split)
    items = _mapped(folder, part, photos, maps)
    if items:
        return Dataset(name, classes, items)
    annotations = f"annotations/instances_{part}.json"
    if not (folder / annotations).is_file():
        raise _no_truth(folder, part, maps, annotations)
    number_of = {number + 1: index for number, index in things.items()}
    truths = InstanceTruths.read(folder / annotations, number_of)
    return Dataset(
        name,
        classes,
        tuple(file_item(one.stem, one, partial(truths.label_map, one.name)) for one in photos),
    )


def _official_maps(meaning: dict[int, int]) -> tuple[_Maps, ...]:
    table = LabelTable.of(meaning)
    return tuple(_Maps(folder, ".png", table) for folder in _PIXEL_MAPS)


def _photos(name: str, root: Path, split: str) -> tuple[Path, str, tuple[Path, ...]]:
    """The folder of the dataset, the split's name in it, and its photos."""
    part = f"{choose_split(split, ('val', 'train'), name)}2017"
    places = (f"images/{part}", part)
    folder = locate(root, _ROOTS, (places,), f"COCO 2017 ({name})")
    photos = next(folder / place for place in places if (folder / place).is_dir())
    return folder, part, images_in(photos, (".jpg",))


def _mapped(
    folder: Path, part: str, photos: tuple[Path, ...], maps: tuple[_Maps, ...]
) -> tuple[Item, ...]:
    """The photos with the first form of label maps of which at least one is there; () for none."""
    for form in maps:
        place = folder / form.folder.format(part=part)
        masks = [place / f"{photo.stem}{form.suffix}" for photo in photos]
        if place.is_dir() and any(mask.is_file() for mask in masks):
            return tuple(
                file_item(photo.stem, photo, partial(read_truth, mask, form.table), mask)
                for photo, mask in zip(photos, masks, strict=True)
            )
    return ()


def _no_truth(folder: Path, part: str, maps: tuple[_Maps, ...], further: str) -> UsageError:
    wanted = [f"{form.folder.format(part=part)}/ID{form.suffix}" for form in maps]
    wanted.extend([further] if further else [])
    return UsageError(
        f"{folder}: expected label maps of {part}, one of {', '.join(wanted)}; found "
        f"{listing(folder)}"
    )
