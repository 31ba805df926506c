"""Numbers, times and the stages of a build in words, for the command and the local page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.text import printable

if TYPE_CHECKING:
    from bank_builder.report import BuildProgress


def counted(number: int, what: str) -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def duration(seconds: float) -> str:
    """A time for people, such as `42 s`, `3 min 20 s`, `5 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def stage_words(event: BuildProgress) -> str:
    """What a build is doing, such as "loading segmenter" or "references fish"."""
    words = {
        "weights": "finding and checking the weights",
        "trial": "trying how many images fit into the memory",
        "first batch": "making the first batch:",
    }.get(event.stage, event.stage)
    about = (event.role,) if event.stage in ("loading", "weights", "trial") else (event.category,)
    return " ".join([words, *(printable(one) for one in about if one)])
