"""What `rim reject` and `rim accept` share: reading image_ids, and saying what became of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rim.cli.options import counted, print_json, say
from schemas.errors import UsageError

if TYPE_CHECKING:
    from bank_builder.review import VerdictChange

_STANDARD_INPUT = "-"
_HEADER = "image_id"
_NUMBER = re.compile(r"[0-9]{1,19}")
_SHOWN = 40


def read_image_ids(words: tuple[str, ...]) -> list[int]:
    """The image_ids of a command's arguments; "-" stands for the lines of standard input.

    Empty lines are skipped there, and so is a first line `image_id`, the heading that `rim sql
    --format csv` writes.

    Raises UsageError, naming argument or line, for what is no image_id.
    """
    ids: list[int] = []
    for word in words:
        if word == _STANDARD_INPUT:
            ids += [_image_id(line, place) for place, line in _lines()]
        else:
            ids.append(_image_id(word, "the arguments"))
    return ids


def tell_verdicts(change: VerdictChange, bank: Path, done: str, *, as_json: bool) -> int:
    """Says what was done ("rejected", "taken back"); returns the exit status."""
    report = change.bank
    if as_json:
        verdicts = {"changed_images": change.changed, "unchanged_images": change.unchanged}
        print_json({**verdicts, "emptied": change.emptied, **asdict(report)})
    elif change.changed:
        also = f", {len(change.unchanged)} were so already" if change.unchanged else ""
        images = counted(len(change.changed), "image")
        say(
            f"{bank}: version {report.version}, {images} {done}{also}; "
            f"{report.accepted} of {report.images} accepted, {report.features} features"
        )
    else:
        say(
            f"{bank}: nothing to change in {counted(len(change.unchanged), 'image')}; "
            f"version {report.version}"
        )
    if change.emptied:
        say(f"no usable reference image left of: {', '.join(change.emptied)}")
    return 3 if change.emptied else 0


def _lines() -> Iterator[tuple[str, str]]:
    """The lines of standard input that say something, with their places."""
    content = sys.stdin.buffer.read().decode("utf-8", "replace")
    for number, line in enumerate(content.removeprefix("\ufeff").splitlines(), start=1):
        text = line.strip()
        if text and not (number == 1 and text == _HEADER):
            yield f"standard input, line {number}", text


def _image_id(text: str, place: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        found = repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
        raise UsageError(
            f"{place}: expected an image_id, a whole number, found {found}; nothing was changed"
        )
    return int(text)
