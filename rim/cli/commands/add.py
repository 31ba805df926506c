"""`rim add`: adds categories to a bank."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rim.cli.logs import emit, log_json_option
from rim.cli.options import (
    bank_argument,
    device_option,
    examples,
    json_option,
    offline_option,
    preset_option,
    source_option,
)
from rim.cli.output import holdings, print_json, say, tell_lacks


@click.command(
    "add",
    epilog=examples(
        'rim add bank boat "mushroom, toadstool"', "rim add bank boat --source folder:photos"
    ),
)
@bank_argument
@click.argument("names", nargs=-1, required=True, metavar='"NAME, SYNONYM"...')
@source_option("Generated images, or your own photos of the new categories, as in rim build.")
@preset_option
@device_option
@offline_option
@log_json_option
@json_option
def command(
    bank: Path,
    names: tuple[str, ...],
    source: str,
    preset: str | None,
    device: str,
    offline: bool,
    as_json: bool,
) -> int:
    """Add categories to BANK, by the settings that it was built with.

    What the bank has stays as it is, byte for byte; the result is that of building it with all the
    categories at once. If it is interrupted, the same command again goes on. Put -- in front of a
    name that begins with a dash.
    """
    from rim.changes import add
    from rim.cli.progress import build_progress

    with build_progress() as progress:
        grown = add(
            bank,
            names,
            source=source,
            preset=preset,
            device=device,
            offline=offline,
            progress=progress,
        )
    report = grown.build_report
    emit("result", **asdict(report))
    if as_json:
        print_json(asdict(report))
    else:
        categories = "1 category" if len(names) == 1 else f"{len(names)} categories"
        say(f"{bank}: version {report.version}, {categories} added; {holdings(report)}")
    return tell_lacks(report, bank, "rim build --retry-failed")
