"""JSON that is written piece by piece, so that an array may be longer than the memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from schemas.text import is_unicode


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """A value as JSON in UTF-8; ValueError for NaN and infinity.

    What holds file names that are not in UTF-8 is written with escapes, by which a program still
    finds the files.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    if not is_unicode(text):
        text = json.dumps(value, allow_nan=False, indent=indent)
    return text.encode("utf-8")


def write_object(file: BinaryIO, members: Mapping[str, Any]) -> None:
    """One JSON object, member by member; an iterator becomes an array, one element a line.

    The iterators are run one after the other, in the order of the members.
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
