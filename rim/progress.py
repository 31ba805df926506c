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

from rim.run_log import emit
from schemas.printable import printable

if TYPE_CHECKING:
    from bank_builder.progress import BuildProgress
    from foundation.download import Transfer

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


@contextmanager
def resumed_counter(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows work of which an earlier run may have done a part; yields the function to call after
    each item, with the number of items done and of all.
    """
    with _display(what) as show:
        reused: int | None = None  # all but the first item that this run has done

        def on_item(done: int, total: int) -> None:
            nonlocal reused
            reused = done - 1 if reused is None else reused
            emit("progress", what=what, done=done, total=total, reused=reused)
            show(_Status(done, total, reused))

        yield on_item


@contextmanager
def build_progress() -> Iterator[Callable[[BuildProgress], None]]:
    """Shows the events of a build."""
    with _display("images", "loading models") as show:
        reused: int | None = None  # the first event says how many images are there already

        def on_event(event: BuildProgress) -> None:
            nonlocal reused
            reused = event.done if reused is None else reused
            emit("progress", what="images", **_rounded(asdict(event)), reused=reused)
            known = event.accepted + event.rejected + event.failed
            # The share first: on a narrow terminal the end is cut off.
            share = [f"accepted {event.accepted / known:.0%},"] if known else []
            category = [printable(event.category)] if event.category else []
            words = [*share, event.stage, *category]
            show(_Status(event.done, event.total, reused, " ".join(words), event.stage))

        yield on_event


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
    """done, total: items, or bytes. reused: those that were done before and say nothing about the
    rate. stage: where another begins, a line is due.
    """

    done: int
    total: int
    reused: int = 0
    note: str = ""
    stage: str = ""
    are_bytes: bool = False

    def count(self) -> str:
        """How much of how much."""
        if self.are_bytes:
            return f"{self.done / 1e6:.1f}/{self.total / 1e6:.1f} MB"
        return f"{self.done}/{self.total}"

    def rate(self, pace: float) -> str:
        """The pace, which is items or bytes a second; nothing where it is not known."""
        if not pace:
            return ""
        return f"{pace / 1e6:.1f} MB/s" if self.are_bytes else f"{pace:.1f}/s"

    def left(self, pace: float) -> str:
        """The time that the rest takes at this pace; nothing where that is not known."""
        return f"{duration((self.total - self.done) / pace)} left" if pace else ""


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
    started = time.monotonic()
    # Warnings appear above the bar. Standard output is left alone: it may be a file.
    with Progress(
        *columns, console=Console(stderr=True), expand=True, redirect_stdout=False
    ) as progress:
        task = progress.add_task(what, total=None, note=note, rate="", count="", left="")

        def show(status: _Status) -> None:
            pace = _pace(status, started)
            progress.update(
                task,
                completed=status.done,
                total=status.total,
                note=status.note,
                count=status.count(),
                rate=status.rate(pace),
                left=status.left(pace),
            )

        yield show


class _PlainLines:
    """Lines for a file: the last, the first of a stage, and in between one every 10 s or 5 % of the
    work, whichever is rarer, but no silence longer than a minute.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._started = self._last = clock()
        self._shown: _Status | None = None

    def show(self, status: _Status) -> None:
        """Writes a line if one is due."""
        now = self._clock()
        if not self._is_due(status, now):
            return
        self._last, self._shown = now, status
        pace = _pace(status, self._started, now)
        words = (self._what, status.count(), status.rate(pace), status.left(pace), status.note)
        click.echo(" ".join(word for word in words if word), err=True)

    def _is_due(self, status: _Status, now: float) -> bool:
        shown = self._shown
        if status.done >= status.total:
            return shown is None or (shown.done, shown.stage) != (status.done, status.stage)
        if shown is not None and shown.stage != status.stage:
            return True
        silence = now - self._last
        share = (status.done - (shown.done if shown else 0)) / status.total
        return silence >= _LONGEST_SILENCE or (
            silence >= _SECONDS_BETWEEN_LINES and share >= _SHARE_BETWEEN_LINES
        )


def _pace(status: _Status, started: float, now: float | None = None) -> float:
    """Items or bytes a second, 0 as long as that cannot be told."""
    passed = (time.monotonic() if now is None else now) - started
    return (status.done - status.reused) / passed if passed > _TOO_EARLY else 0.0
