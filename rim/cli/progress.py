"""Progress for people: a bar with rate and time left on a terminal, a plain line now and then
elsewhere, both on standard error; and every step in the log that `--log-json` asks for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from rim.cli.run_log import emit
from schemas.text import printable

if TYPE_CHECKING:
    from bank_builder.report import BuildProgress
    from foundation.weights.download import Transfer

_SECONDS_BETWEEN_LINES = 10.0
_SHARE_BETWEEN_LINES = 0.05
_LONGEST_SILENCE = 60.0  # seconds
_TOO_EARLY = 0.05  # seconds, after which a rate says something
_BAR = 20  # columns


@contextmanager
def counter(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Shows how many of `total` items are done; yields the function to call after each."""
    with resumed_counter(what) as show:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            show(done, total)

        yield advance


class ResumedCounter:
    """Shows work of which an earlier run may have done a part."""

    def __init__(self, what: str, show: Callable[[_Status], None]) -> None:
        self._what = what
        self._show = show
        self._reused: int | None = None  # all but the first item that this run has done

    def stage(self, words: str) -> None:
        """Shows what is done before the first item, such as "loading segmenter"."""
        emit("stage", what=self._what, stage=words)
        self._show(_Status.of_stage(words))

    def loading(self, role: str) -> None:
        """Shows that a model is being loaded."""
        self.stage(f"loading {role}")

    def __call__(self, done: int, total: int) -> None:
        """Shows that another item is done; the numbers of those that are done and of all."""
        self._reused = done - 1 if self._reused is None else self._reused
        emit("progress", what=self._what, done=done, total=total, reused=self._reused)
        self._show(_Status(done, total, self._reused))


@contextmanager
def resumed_counter(what: str) -> Iterator[ResumedCounter]:
    """Shows work of which an earlier run may have done a part; yields what to call after each
    item, and with the stages before the first one.
    """
    with _display(what, "preparing") as show:
        yield ResumedCounter(what, show)


@contextmanager
def stages(what: str) -> Iterator[Callable[[str], None]]:
    """Shows work that has no number of items; yields the function to call as a stage begins."""
    with _display(what, "preparing") as show:
        yield ResumedCounter(what, show).stage


@contextmanager
def build_progress() -> Iterator[Callable[[BuildProgress], None]]:
    """Shows the events of a build."""
    from bank_builder.report import WAITING

    with _display("images", "reading what is there") as show:
        reused: int | None = None  # the first event says how many images are there already

        def on_event(event: BuildProgress) -> None:
            nonlocal reused
            reused = event.done if reused is None else reused
            emit("progress", what="images", **_rounded(asdict(event)), reused=reused)
            known = event.accepted + event.rejected + event.failed
            # The share first: on a narrow terminal the end is cut off.
            share = [f"accepted {event.accepted / known:.0%},"] if known else []
            words = " ".join([*share, stage_words(event)])
            waiting = event.stage in WAITING
            stage = event.stage + (event.role or "")
            show(_Status(event.done, event.total, reused, words, stage, waiting=waiting))

        yield on_event


def stage_words(event: BuildProgress) -> str:
    """What a build is doing, such as "loading segmenter" or "references fish"."""
    words = {
        "weights": "finding and checking the weights",
        "trial": "trying how many images fit into the memory",
        "first batch": "making the first batch:",
    }.get(event.stage, event.stage)
    about = (event.role,) if event.stage in ("loading", "weights", "trial") else (event.category,)
    return " ".join([words, *(printable(one) for one in about if one)])


@contextmanager
def transfer_progress(what: str) -> Iterator[Callable[[Transfer], None]]:
    """Shows the bytes of a model as they arrive."""
    with _display(what) as show:

        def on_transfer(transfer: Transfer) -> None:
            note = f"{'checking ' if transfer.checking else ''}{printable(transfer.file)}"
            show(_Status(transfer.done, transfer.total, transfer.kept, note, are_bytes=True))

        yield on_transfer


@dataclass(frozen=True)
class _Status:
    """done, total: items, or bytes; total 0 if it is not known yet. reused: those that were done
    before and say nothing about the rate. stage: where another begins, a line is due. waiting:
    nothing of this run is done yet, and its time says nothing about the rate.
    """

    done: int
    total: int
    reused: int = 0
    note: str = ""
    stage: str = ""
    are_bytes: bool = False
    waiting: bool = False

    @classmethod
    def of_stage(cls, words: str) -> _Status:
        """Before there is anything to count."""
        return cls(0, 0, note=words, stage=words, waiting=True)

    def count(self) -> str:
        """How much of how much; nothing where that is not known."""
        if not self.total:
            return ""
        if self.are_bytes:
            return f"{self.done / 1e6:.1f}/{self.total / 1e6:.1f} MB"
        return f"{self.done}/{self.total}"

    def rate(self, pace: float) -> str:
        """The pace, which is items or bytes a second; nothing where it is not known."""
        if not pace:
            return ""
        if self.are_bytes:
            return f"{pace / 1e6:.1f} MB/s" if pace >= 1e5 else f"{pace / 1e3:.1f} kB/s"
        if pace >= 1:
            return f"{pace:.1f}/s"
        return f"{1 / pace:.1f} s each" if pace > 0.1 else f"{duration(1 / pace)} each"

    def left(self, pace: float) -> str:
        """The time that the rest takes at this pace; nothing where that is not known."""
        return f"{duration((self.total - self.done) / pace)} left" if pace else ""


class _Pace:
    """How fast this run is, from when it began with its first item."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()

    def of(self, status: _Status) -> float:
        """Items or bytes a second, 0 as long as none of this run is done."""
        now = self._clock()
        if status.waiting:
            self._since = now
        passed = now - self._since
        own = status.done - status.reused
        return own / passed if own > 0 and passed > _TOO_EARLY else 0.0


def _rounded(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: round(one, 3) if isinstance(one, float) else one for key, one in fields.items()}


def duration(seconds: float) -> str:
    """A time for people, such as `42 s`, `3 min 20 s`, `5 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@contextmanager
def _display(what: str, note: str = "") -> Iterator[Callable[[_Status], None]]:
    if not sys.stderr.isatty():
        yield _PlainLines(what).show
        return
    words = ("description", "fields[count]", "fields[rate]", "fields[left]")
    columns = (
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        BarColumn(_BAR),
        *(TextColumn(f"{{task.{word}}}", table_column=Column(no_wrap=True)) for word in words),
        # Names may look like marks; on a narrow terminal they are cut, not the numbers.
        TextColumn(
            "{task.fields[note]}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
    )
    pace = _Pace(time.monotonic)
    # Warnings appear above the bar. Standard output is left alone: it may be a file.
    with Progress(
        *columns, console=Console(stderr=True), expand=True, redirect_stdout=False
    ) as progress:
        task = progress.add_task(what, total=None, note=note, rate="", count="", left="")

        def show(status: _Status) -> None:
            speed = pace.of(status)
            progress.update(
                task,
                completed=status.done,
                total=None if status.waiting else status.total,  # without it the bar moves
                note=status.note,
                count=status.count(),
                rate=status.rate(speed),
                left=status.left(speed),
            )

        yield show


class _PlainLines:
    """Lines for a file: the last, the first of a stage, and in between one every 10 s or 5 % of the
    work, whichever is rarer, but no silence longer than a minute.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._pace = _Pace(clock)
        self._last = clock()
        self._shown: _Status | None = None

    def show(self, status: _Status) -> None:
        """Writes a line if one is due."""
        now = self._clock()
        pace = self._pace.of(status)
        if not self._is_due(status, now):
            return
        self._last, self._shown = now, status
        words = (self._what, status.count(), status.rate(pace), status.left(pace), status.note)
        click.echo(" ".join(word for word in words if word), err=True)

    def _is_due(self, status: _Status, now: float) -> bool:
        shown = self._shown
        if status.waiting:
            return shown is None or shown.stage != status.stage
        if status.done >= status.total:
            return shown is None or (shown.done, shown.stage) != (status.done, status.stage)
        if shown is not None and not shown.waiting and shown.stage != status.stage:
            return True
        silence = now - self._last
        share = (status.done - (shown.done if shown else 0)) / status.total
        return silence >= _LONGEST_SILENCE or (
            silence >= _SECONDS_BETWEEN_LINES and share >= _SHARE_BETWEEN_LINES
        )
