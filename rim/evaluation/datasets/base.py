"""A data set for the evaluation: its classes, its images with their truths, and its folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.images.reading import IMAGE_SUFFIXES
from schemas.errors import ImageError, UsageError, VocabularyError
from schemas.resources import vocabulary_path
from schemas.text import shortened
from schemas.vocabulary import BACKGROUND_NAME, Category, name_key, parse_vocabulary

BACKGROUND = Category(BACKGROUND_NAME)
ReadTruth = Callable[[], NDArray[np.int32]]


@dataclass(frozen=True)
class Sample:
    """One image of a data set with its truth.

    Attributes:
        name: in messages and file names.
        image: a file, or uint8 (H, W, 3).
        truth: (H, W) integers: the index of a class, or the ignore label.
    """

    name: str
    image: Path | NDArray[np.uint8]
    truth: NDArray[np.integer]


@dataclass(frozen=True)
class Item:
    """A sample that is read only when its turn comes.

    Attributes:
        name: the sample's, unique in its dataset.
        load: reads it; ImageError if it cannot be read.
        mark: says whether what it is read from is still the same, e.g. the sizes of its files.
        files: what it is read from, as far as these are its own.
    """

    name: str
    load: Callable[[], Sample]
    mark: str = ""
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Images with ground truth.

    Attributes:
        name: of the dataset, as in `rim eval --dataset`.
        classes: in the order of the labels.
        items: one an image; their truths hold classes, or -1 where nothing is scored.
        groups: by class, e.g. "thing" or "stuff"; empty where the dataset has no groups.
    """

    name: str
    classes: tuple[Category, ...]
    items: tuple[Item, ...]
    groups: tuple[str, ...] = ()


def file_item(
    name: str, image: Path, read_truth: ReadTruth, truth_file: Path | None = None
) -> Item:
    """Makes an item of an image file, whose mark is the size in bytes of its files.

    truth_file: of this image alone, if there is one.
    """
    files = (image,) if truth_file is None else (image, truth_file)
    return Item(name, partial(_load, name, image, read_truth), ":".join(map(_size, files)), files)


def _load(name: str, image: Path, read_truth: ReadTruth) -> Sample:
    if not image.is_file():
        raise ImageError(f"{image}: expected an image file, found nothing")
    return Sample(name, image, read_truth())


def _size(file: Path) -> str:
    try:
        return str(file.stat().st_size)
    except OSError:
        return "none"


def shipped_classes(name: str) -> tuple[Category, ...]:
    """The classes of a shipped vocabulary, in the order of its lines."""
    return read_classes(vocabulary_path(name))


def read_classes(path: Path) -> tuple[Category, ...]:
    """The classes in a file of the form of a vocabulary: `name, synonym, ...`, one a line.

    Label n is the nth line that is neither empty nor a comment, from 0. Unlike in a vocabulary the
    line `background` is a class and keeps its place.

    Raises VocabularyError as `schemas.vocabulary.parse_vocabulary` does, and if the file cannot be
    read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise VocabularyError(f"cannot read the classes {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise VocabularyError(f"{path}: expected UTF-8, found something else") from error
    vocabulary = parse_vocabulary(text, str(path))
    classes = list(vocabulary.categories)
    if vocabulary.background:
        lines = (line.partition("#")[0] for line in text.split("\n"))
        names = [name_key(line.partition(",")[0]) for line in lines if line.strip()]
        classes.insert(names.index(BACKGROUND_NAME), BACKGROUND)
    return tuple(classes)


def locate(root: Path, known: Sequence[str], needed: Sequence[Sequence[str]], dataset: str) -> Path:
    """Finds the folder of a data set: the root itself, or where it usually lies below a root.

    Args:
        root: what was given.
        known: folders below the root to try, e.g. "VOCdevkit/VOC2012".
        needed: files or folders that must be there, each as a list of alternatives.
        dataset: for the message.

    Raises UsageError that says what was expected and what was found instead.
    """
    candidates = [
        (folder, _missing(folder, needed)) for folder in (root, *map(root.joinpath, known))
    ]
    folder, missing = min(candidates, key=lambda one: len(one[1]))
    if not missing:
        return folder
    if len(missing) < len(needed):
        raise UsageError(
            f"{folder}: expected {dataset} with {', '.join(missing)} in it, found {listing(folder)}"
        )
    raise UsageError(
        f"{root}: expected {dataset}, the folder {known[0]} with {', '.join(missing)} in it, found "
        f"{listing(root)}; give that folder or the one above as --root"
    )


def _missing(folder: Path, needed: Sequence[Sequence[str]]) -> list[str]:
    return [
        " or ".join(alternatives)
        for alternatives in needed
        if not any((folder / part).exists() for part in alternatives)
    ]


def listing(folder: Path, most: int = 6) -> str:
    """The content of a folder in words, for messages."""
    if not folder.exists():
        return "nothing there"
    if not folder.is_dir():
        return "a file"
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        return f"a folder that cannot be read ({error.strerror})"
    return shortened(names, most) or "an empty folder"


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a list of images, one a line; what follows the first word is not read.

    Raises UsageError if the file cannot be read, a name stands twice or is none, or there is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a list of image names, cannot be read ({error})") from (
            error
        )
    names = tuple(line.split()[0] for line in text.splitlines() if line.strip())
    if not names:
        raise UsageError(f"{path}: expected image names, one a line, found none")
    if len(set(names)) < len(names):
        raise UsageError(
            f"{path}: expected every image once, found {len(names)} names of which"
            f" only {len(set(names))} are different"
        )
    for name in names:
        if name != Path(name).name:
            raise UsageError(f"{path}: expected image names without folders, found {name!r}")
    return names


def images_in(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> tuple[Path, ...]:
    """The image files directly in a folder, by name.

    Raises UsageError if there is none, or two whose names differ in the suffix alone.
    """
    try:
        files = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes and not path.name.startswith(".")
        )
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror})") from error
    if not files:
        raise UsageError(
            f"{folder}: expected images ({', '.join(suffixes)}), found {listing(folder)}"
        )
    names: dict[str, Path] = {}
    for file in files:
        other = names.setdefault(file.stem, file)
        if other != file:
            raise UsageError(
                f"{folder}: expected one image a name, found {other.name} and {file.name}"
            )
    return tuple(files)


def choose_split(split: str, known: Sequence[str], dataset: str) -> str:
    """Returns the split if the data set has it; UsageError with the known ones otherwise."""
    if split not in known:
        raise UsageError(f"{dataset}: expected --split {' or '.join(known)}, found {split!r}")
    return split
