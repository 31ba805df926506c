"""Progress for people: a bar with rate and time left on a terminal, plain lines elsewhere, all on
standard error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    with _display(what, total) as show:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            show(done, total, "")

        yield advance


@contextmanager
def build_progress() -> Iterator[Callable[[BuildProgress], None]]:
    """Shows the events of a build."""
    with _display("images", 0) as show:

        def on_event(event: BuildProgress) -> None:
            share = event.accepted / max(1, event.accepted + event.rejected + event.failed)
            note = f"{event.stage} {event.category or ''} accepted {share:.0%}"
            show(event.done, event.total, note)

        yield on_event


@contextmanager
def _display(what: str, total: int) -> Iterator[Callable[[int, int, str], None]]:
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
        task = progress.add_task(what, total=total or None, note="", rate="")

        def show(done: int, total: int, note: str) -> None:
            pace = done / max(time.monotonic() - started, 1e-6)
            progress.update(
                task, completed=done, total=total, note=note, rate=f"{pace:.1f} {what}/s"
            )

        yield show


def _plain_lines(what: str) -> Callable[[int, int, str], None]:
    started = time.monotonic()
    last = started

    def show(done: int, total: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _SECONDS_BETWEEN_LINES and done < total:
            return
        last = now
        pace = done / max(now - started, 1e-6)
        left = (total - done) / pace if pace else 0.0
        click.echo(
            f"{what} {done}/{total} {pace:.1f}/s {left:.0f} s left {note}".rstrip(), err=True
        )

    return show
