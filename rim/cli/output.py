"""What commands print: results on standard output, lines for the user on standard error."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim.wording import counted
from schemas.text import is_unicode, printable_lines

if TYPE_CHECKING:
    from rich.console import Console

    from bank_builder.report import BuildReport
    from bank_builder.review import VerdictChange

_UNBROKEN = 100_000  # columns


def stdout_console() -> Console:
    """Standard output for tables: as wide as the terminal; in a file or pipe no line is broken."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _UNBROKEN)


def say(message: str) -> None:
    """Writes a line for the user to standard error."""
    click.echo(printable_lines(message), err=True)


def print_json(result: Any) -> None:
    """Writes the result for a program to standard output.

    Names that are not in UTF-8 are written with escapes, by which a program finds their files.
    """
    text = json.dumps(result, ensure_ascii=False)
    click.echo(text if is_unicode(text) else json.dumps(result))


def holdings(report: BuildReport) -> str:
    """How many images and features there are, in words."""
    return (
        f"{report.images} images, {report.accepted} accepted, {report.rejected} rejected, "
        f"{report.failed} failed, {report.features} features"
    )


def tell_lacks(report: BuildReport, bank: Path, again: str) -> int:
    """Says which images failed and which categories no photo can be labelled with.

    again: what the user types to have failed images made again. Returns the exit status: 3 if
    anything is lacking, 0 otherwise.
    """
    if report.failed:
        why = f"rim sql {bank} \"SELECT image_id, reason FROM images WHERE status = 'failed'\""
        say(f"{counted(report.failed, 'image')} failed; why: {why}; to try again: {again}")
    empty = report.categories_without_feature
    if empty:
        say(f"no usable reference image of: {', '.join(empty)}")
    return 3 if report.failed or empty else 0


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
