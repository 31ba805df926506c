"""Progress for people: a bar with rate and time left on a terminal, plain lines elsewhere, all on
standard error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from bank_builder.progress import BuildProgress
    from foundation.download import Transfer

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def counter(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Shows how many of `total` items are done; yields the function to call after each."""
    with _display(what) as show:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            show(_Status(done, total))

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
            show(_Status(done, total, reused))

        yield on_item


@contextmanager
def build_progress() -> Iterator[Callable[[BuildProgress], None]]:
    """Shows the events of a build."""
    with _display("images") as show:
        reused: int | None = None  # the first event says how many images are there already

        def on_event(event: BuildProgress) -> None:
            nonlocal reused
            reused = event.done if reused is None else reused
            share = event.accepted / max(1, event.accepted + event.rejected + event.failed)
            words = [event.stage, *([event.category] if event.category else [])]
            note = " ".join([*words, f"accepted {share:.0%}"])
            show(_Status(event.done, event.total, reused, note))

        yield on_event


@contextmanager
def transfer_progress(what: str) -> Iterator[Callable[[Transfer], None]]:
    """Shows the bytes of a model as they arrive."""
    with _display(what) as show:

        def on_transfer(transfer: Transfer) -> None:
            note = f"{'checking ' if transfer.checking else ''}{transfer.file}"
            show(_Status(transfer.done, transfer.total, transfer.kept, note, are_bytes=True))

        yield on_transfer


@dataclass(frozen=True)
class _Status:
    """done, total: items, or bytes. reused: those that were done before and say nothing about the
    rate.
    """

    done: int
    total: int
    reused: int = 0
    note: str = ""
    are_bytes: bool = False

    def count(self) -> str:
        """How much of how much."""
        if self.are_bytes:
            return f"{self.done / 1e6:.1f}/{self.total / 1e6:.1f} MB"
        return f"{self.done}/{self.total}"

    def rate(self, pace: float) -> str:
        """The pace, which is items or bytes a second."""
        return f"{pace / 1e6:.1f} MB/s" if self.are_bytes else f"{pace:.1f}/s"


@contextmanager
def _display(what: str) -> Iterator[Callable[[_Status], None]]:
    if not sys.stderr.isatty():
        yield _plain_lines(what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),  # names may look like marks
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None, note="", rate="", count="")

        def show(status: _Status) -> None:
            progress.update(
                task,
                completed=status.done,
                total=status.total,
                note=status.note,
                count=status.count(),
                rate=status.rate(_pace(status, started)),
            )

        yield show


def _plain_lines(what: str) -> Callable[[_Status], None]:
    started = time.monotonic()
    last = started

    def show(status: _Status) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _SECONDS_BETWEEN_LINES and status.done < status.total:
            return
        last = now
        pace = _pace(status, started)
        left = f" {(status.total - status.done) / pace:.0f} s left" if pace else ""
        line = f"{what} {status.count()} {status.rate(pace)}{left} {status.note}"
        click.echo(line.rstrip(), err=True)

    return show


def _pace(status: _Status, started: float) -> float:
    return (status.done - status.reused) / max(time.monotonic() - started, 1e-6)
