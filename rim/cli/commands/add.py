"""`rim add`: more categories in a bank."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rim.cli import completions
from rim.cli.logs import warn
from rim.cli.options import (
    device_option,
    examples,
    json_option,
    offline_option,
    preset_option,
    print_json,
    say,
)
from rim.cli.report_words import holdings, tell_lacks
from rim.cli.run_log import emit, log_json_option


@click.command(
    "add",
    epilog=examples(
        'rim add bank boat "mushroom, toadstool"', "rim add bank boat --source folder:photos"
    ),
)
@click.argument("bank", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, required=True, metavar='"NAME, SYNONYM"...')
@click.option(
    "--source",
    default="diffusion",
    show_default=True,
    metavar="diffusion|folder:DIR",
    shell_complete=completions.sources,
    help="Generated images, or your own photos of the new categories, as in rim build.",
)
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
    from rim.api import choose_source
    from rim.bank import Bank
    from rim.changes import run_add
    from rim.cli.progress import build_progress

    image_source = choose_source(source)
    opened = Bank(bank)
    with build_progress() as progress:
        report = run_add(
            opened,
            names,
            image_source,
            preset=preset,
            device=device,
            offline=offline,
            progress=progress,
            warn=warn,
        )
    emit("result", **asdict(report))
    if as_json:
        print_json(asdict(report))
    else:
        categories = "1 category" if len(names) == 1 else f"{len(names)} categories"
        say(f"{bank}: version {report.version}, {categories} added; {holdings(report)}")
    return tell_lacks(report, bank, "rim build --retry-failed")
