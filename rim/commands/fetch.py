"""`rim fetch`: a preset's weights, downloaded and checked for offline use."""

from __future__ import annotations

from dataclasses import asdict

import click

from rim import completions
from rim.options import examples, json_option, print_json, say


@click.command("fetch", epilog=examples("rim fetch --preset paper"))
@click.option(
    "--preset",
    required=True,
    metavar="NAME|FILE.toml",
    help="A preset's name or a TOML file.",
    shell_complete=completions.presets,
)
@json_option
def command(preset: str, as_json: bool) -> int:
    """Download the weights of a preset and check every byte; then --offline works.

    An interrupted download goes on where it stopped. What was fetched before is compared with the
    record of that time: damaged files are named, downloaded anew, and the status is 3. It is 3 too
    if some of the models could not be had, and 1 if none could.
    """
    from schemas.settings import load_settings

    settings = load_settings(preset)

    from foundation.missing import gigabytes
    from rim.fetch import fetch_preset
    from rim.progress import transfer_progress

    report = fetch_preset(settings, transfer_progress)
    if as_json:
        print_json(asdict(report))
    for model in report.models:
        for name in model.damaged:
            say(f"rim: models.{model.role}: {name} was damaged, and has been downloaded anew")
        if not as_json:
            commit = f" at {model.revision[:12]}" if model.revision else ""
            where = f"{gigabytes(model.bytes)}, {model.status}, {model.fingerprint[:12]}"
            say(f"{model.role}: {model.name}{commit} ({where})")
    for failed in report.failed:
        say(f"rim: {failed.error}")
    if not report.failed:
        if all(model.status == "local" for model in report.models):
            say(f"{settings.preset}: nothing to download, everything is here already")
        else:
            say(f"{settings.preset}: complete; everything runs with --offline now")
    return report.exit_status
