"""What the formats share: a file to be written, a photo's place, and a finished run's photos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from query.exports.kept import KeptPhoto
from schemas.errors import OutputError

_Number = TypeVar("_Number", int, NDArray[np.int64])


@dataclass(frozen=True)
class ResultFile:
    """A file of one photo's results. path: in the output folder, with "/"."""

    path: str
    data: bytes


@dataclass(frozen=True)
class Target:
    """Where a photo's results go.

    Attributes:
        folder: of all results.
        name: of this photo's files.
        photo: the photo's own file; None for pixels that are in no file.
    """

    folder: Path
    name: str
    photo: Path | None


@dataclass(frozen=True)
class RunPhoto:
    """A photo of a finished run.

    Attributes:
        number: from 1, in the order of the photos.
        name: of its files in the output folder.
        file_name: of the photo itself, with "/", relative to the folder that all photos of the
            run are in.
        kept: what was found in it.
    """

    number: int
    name: str
    file_name: str
    kept: KeptPhoto


@dataclass(frozen=True)
class FinishedRun:
    """All photos of a run, for the files that are about all of them.

    Attributes:
        folder: of all results.
        names: of the bank's categories, by category_id, ascending.
        bank_version: the version of the bank that was asked.
        photos: begins a new pass over the photos; they are read one by one.
    """

    folder: Path
    names: Mapping[int, str]
    bank_version: int
    photos: Callable[[], Iterator[RunPhoto]]


def common_folder(photos: Iterable[Path]) -> Path:
    """The deepest folder that all the photos are in, absolute."""
    folders = [os.path.dirname(os.path.abspath(photo)) for photo in photos]
    return Path(os.path.commonpath(folders))


def label_of(category_id: _Number) -> _Number:
    """The number of a category, or of many, in the formats that have 0 for what is unlabelled."""
    return category_id + 1


def check_largest(what: str, category_ids: Iterable[int], largest_label: int) -> None:
    """OutputError if a category's label is above the largest that a format can hold."""
    largest = max(category_ids, default=0)
    if label_of(largest) > largest_label:
        raise OutputError(
            f"expected category ids below {largest_label} in {what}, found {largest}; choose"
            " another format"
        )
