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
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from bank_builder.progress import BuildProgress

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


@dataclass(frozen=True)
class _Status:
    """done, total: items. reused: those that were done before and say nothing about the rate."""

    done: int
    total: int
    reused: int = 0
    note: str = ""


@contextmanager
def _display(what: str) -> Iterator[Callable[[_Status], None]]:
    if not sys.stderr.isatty():
        yield _plain_lines(what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None, note="", rate="")

        def show(status: _Status) -> None:
            progress.update(
                task,
                completed=status.done,
                total=status.total,
                note=status.note,
                rate=f"{_pace(status, started):.1f}/s",
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
        line = f"{what} {status.done}/{status.total} {pace:.1f}/s{left} {status.note}"
        click.echo(line.rstrip(), err=True)

    return show


def _pace(status: _Status, started: float) -> float:
    return (status.done - status.reused) / max(time.monotonic() - started, 1e-6)
