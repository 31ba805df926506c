"""The results of steps of `rim check`, and the verdict over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Outcome(StrEnum):
    """How a step ended."""

    FINE = "fine"
    LOOKS_WRONG = "looks wrong"
    BROKEN = "broken"
    SKIPPED = "skipped"


_EXIT_STATUS = {Outcome.FINE: 0, Outcome.LOOKS_WRONG: 3, Outcome.BROKEN: 1}


class NotApplicable(Exception):
    """A step that cannot say anything here; the message says why. No failure of its own."""


@dataclass(frozen=True)
class ReportImage:
    """An image for the report. pixels: uint8 (H, W, 3). name: of its file, without suffix."""

    name: str
    caption: str
    pixels: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True)
class Finding:
    """What a step measured. found: for people. fine: whether it is as expected."""

    found: str
    fine: bool = True
    numbers: Mapping[str, float] = field(default_factory=dict)
    images: tuple[ReportImage, ...] = ()


@dataclass(frozen=True)
class StepResult:
    """One line of the table.

    Attributes:
        name: of the step.
        result: of a finding that is not fine, what a miss of the step means.
        found, expected: for people.
        seconds: it took.
        memory: bytes, the step's peak on a GPU, else the process's peak so far.
        numbers: what was measured, by name.
        images: for the report.
        traceback: of an error that ended the step, else "".
    """

    name: str
    result: Outcome
    found: str
    expected: str
    seconds: float
    memory: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    images: tuple[ReportImage, ...] = ()
    traceback: str = ""


@dataclass(frozen=True)
class CheckVerdict:
    """All steps together. result: the worst of them. text: one line for people."""

    result: Outcome
    text: str

    @property
    def exit_status(self) -> int:
        """0 all well, 3 something looks wrong, 1 something does not work."""
        return _EXIT_STATUS[self.result]


def verdict(results: Sequence[StepResult]) -> CheckVerdict:
    """The verdict over the results of the steps; it lists every step that is not as expected."""
    broken = [one.name for one in results if one.result == Outcome.BROKEN]
    odd = [one.name for one in results if one.result == Outcome.LOOKS_WRONG]
    skipped = [one.name for one in results if one.result == Outcome.SKIPPED]
    note = f"; skipped: {', '.join(skipped)}" if skipped else ""
    if broken:
        more = f"; looks wrong: {', '.join(odd)}" if odd else ""
        return CheckVerdict(Outcome.BROKEN, f"does not work: {', '.join(broken)}{more}{note}")
    if odd:
        return CheckVerdict(Outcome.LOOKS_WRONG, f"works, but looks wrong: {', '.join(odd)}{note}")
    return CheckVerdict(Outcome.FINE, f"all well{note}")
