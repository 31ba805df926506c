"""`rim fetch`: downloads and checks the weights of a preset or a bank for offline use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rim.cli import completions
from rim.cli.options import SuggestingChoice, examples, json_option
from rim.cli.output import print_json, say

if TYPE_CHECKING:
    from rim.cli.fetching import FetchReport


@click.command(
    "fetch",
    epilog=examples("rim fetch --preset paper --for build", "rim fetch --bank bank"),
)
@click.option(
    "--preset",
    metavar="NAME|FILE.toml",
    help="A preset's name or a TOML file.",
    shell_complete=completions.presets,
)
@click.option(
    "--bank",
    type=click.Path(path_type=Path),
    help="The models that this bank was made with; by default what a query takes.",
)
@click.option(
    "--for",
    "purposes",
    multiple=True,
    type=SuggestingChoice(("build", "query", "eval", "text")),
    help="Only the models that this takes; may be given several times. text: comparing texts, as "
    "compare-labels and --text-weight do. By default all of a preset.",
)
@click.option("--check", is_flag=True, help="Read every byte of what is here already.")
@json_option
def command(
    preset: str | None, bank: Path | None, purposes: tuple[str, ...], check: bool, as_json: bool
) -> int:
    """Download the weights of a preset, or of a bank, and check them; then --offline works.

    An interrupted download goes on where it stopped. What was fetched before is compared with the
    record of that time; a large file that has not changed since it was last read (by size, inode
    and times) is not read again without --check. Damaged files that rim has downloaded are named
    and downloaded again; files that came here by other ways are never deleted.

    The status is 3 if files were damaged, if some of the models could not be had or are not those
    that the bank was made with, and 1 if none could be had.
    """
    if (preset is None) == (bank is None):
        raise click.UsageError("expected either --preset or --bank")

    from foundation.weights.roles import roles_for
    from rim.cli.progress import transfer_progress

    if bank is not None:
        from rim.bank import Bank
        from rim.cli.fetching import fetch_bank

        opened = Bank(bank)
        purposes = purposes or ("query",)
        roles = roles_for(purposes, opened.settings)
        report = fetch_bank(opened, roles, transfer_progress, check=check)
        name = str(bank)
    else:
        from rim.cli.fetching import fetch_preset
        from schemas.settings import load_settings

        settings = load_settings(str(preset))
        roles = roles_for(purposes, settings) if purposes else tuple(settings.models.sources())
        report = fetch_preset(settings, roles, transfer_progress, check=check)
        name = settings.preset
    if as_json:
        print_json(asdict(report))
    _tell(report, name, purposes, as_json)
    return report.exit_status


def _tell(report: FetchReport, name: str, purposes: tuple[str, ...], as_json: bool) -> None:
    from foundation.weights.missing import gigabytes

    for model in report.models:
        for file in model.damaged:
            say(f"rim: models.{model.role}: {file} was damaged, and has been downloaded again")
        if not as_json:
            commit = f" at {model.revision[:12]}" if model.revision else ""
            where = f"{gigabytes(model.bytes)}, {model.status}, {model.fingerprint[:12]}"
            say(f"{model.role}: {model.name}{commit} ({where})")
        if model.is_another:
            say(
                f"rim: models.{model.role}: expected the model that the bank was made with "
                f"(fingerprint {str(model.of_bank)[:12]}), found another at {model.name} "
                f"({model.fingerprint[:12]}), which cannot be used with the bank; find the weights "
                "of that time, and name them in a preset"
            )
    for failed in report.failed:
        say(f"rim: {failed.error}")
    if report.failed or any(model.is_another for model in report.models):
        return
    what = f" for {' and '.join(purposes)}" if purposes else ""
    if all(model.status == "local" for model in report.models):
        say(f"{name}: nothing to download, everything is here already")
    elif what:
        say(f"{name}: complete{what}, which runs with --offline now")
    else:
        say(f"{name}: complete; everything runs with --offline now")
