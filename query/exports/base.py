"""What the formats share: files to write, the photos of a finished run, JSON in pieces."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from query.exports.stored_photo import StoredPhoto
from schemas.errors import OutputError
from schemas.text import is_unicode

_Number = TypeVar("_Number", int, NDArray[np.int64])


@dataclass(frozen=True)
class ResultFile:
    """A file of one photo's results. path: relative to the output folder, with "/"."""

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
        stored: its regions and labels.
    """

    number: int
    name: str
    file_name: str
    stored: StoredPhoto


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
    """The deepest folder that all the photos are in, as an absolute path."""
    folders = [os.path.dirname(os.path.abspath(photo)) for photo in photos]
    return Path(os.path.commonpath(folders))


def label_of(category_id: _Number) -> _Number:
    """Returns category_id + 1, of one or many: the label in formats where 0 is unlabelled."""
    return category_id + 1


def check_largest(what: str, category_ids: Iterable[int], largest_label: int) -> None:
    """Raises OutputError if a category's label is above the largest that a format can hold."""
    largest = max(category_ids, default=0)
    if label_of(largest) > largest_label:
        raise OutputError(
            f"expected category ids below {largest_label} in {what}, found {largest}; choose"
            " another format"
        )


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """Encodes a value as JSON in UTF-8.

    A value with file names that are not in UTF-8 is written with escapes, by which a program still
    finds the files. Raises ValueError for NaN and infinity.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    if not is_unicode(text):
        text = json.dumps(value, allow_nan=False, indent=indent)
    return text.encode("utf-8")


def write_object(file: BinaryIO, members: Mapping[str, Any]) -> None:
    """Writes one JSON object, member by member; an iterator becomes an array, one element a line.

    So an array may be larger than the memory. The iterators are run one after the other, in the
    order of the members.
    """
    start = b"{"
    for name, value in members.items():
        file.write(start + json_bytes(name) + b": ")
        if isinstance(value, Iterator):
            _write_array(file, value)
        else:
            file.write(json_bytes(value))
        start = b",\n"
    file.write(b"}\n" if members else b"{}\n")


def _write_array(file: BinaryIO, elements: Iterator[Any]) -> None:
    separator = b"["
    for element in elements:
        file.write(separator + b"\n" + json_bytes(element))
        separator = b","
    file.write(b"[]" if separator == b"[" else b"\n]")
