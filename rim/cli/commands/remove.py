"""`rim remove`: fewer categories in a bank."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rim.cli import completions
from rim.cli.options import examples, json_option, print_json, say


@click.command("remove", epilog=examples("rim remove bank water boat"))
@click.argument("bank", type=click.Path(path_type=Path))
@click.argument(
    "categories",
    nargs=-1,
    required=True,
    metavar="CATEGORY...",
    shell_complete=completions.categories,
)
@json_option
def command(bank: Path, categories: tuple[str, ...], as_json: bool) -> int:
    """Take categories out of BANK.

    The new version is that of a bank built without them, but for the ids: those of the others stay,
    and a removed one is never given to another category, so saved label maps keep their meaning.
    Older versions still have them: rim.open(BANK, version=N). To free the disk: rim verify BANK
    --prune --keep 1. Put -- in front of a name that begins with a dash.
    """
    from bank_builder.removal import remove_categories

    removal = remove_categories(bank, categories)
    report = removal.bank
    if as_json:
        print_json({"removed": removal.removed, "emptied": removal.emptied, **asdict(report)})
    else:
        say(
            f"{bank}: version {report.version} without {', '.join(removal.removed)}; "
            f"{report.images} images, {report.accepted} accepted, {report.features} features"
        )
    if removal.emptied:
        say(f"no usable reference image left of: {', '.join(removal.emptied)}")
    return 3 if removal.emptied else 0
