"""`rim report`: a bank as static HTML pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rim.cli import completions
from rim.cli.options import Choice, examples, json_option, print_json, say
from schemas.text import printable, shortened

if TYPE_CHECKING:
    from rim.inspection.report.write import Report


@click.command(
    "report",
    epilog=examples(
        "rim report bank --out report",
        "rim report bank --out report --categories house,fish --version 2",
    ),
)
@click.argument("bank", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Made if it is missing; an earlier report there is replaced.",
)
@click.option(
    "--categories",
    metavar="A,B,C",
    help="Show only these.",
    shell_complete=completions.category_list,
)
@click.option(
    "--version", type=click.IntRange(1), metavar="N", help="Of the bank.  [default: latest]"
)
@click.option(
    "--map",
    "projection",
    type=Choice(("pca", "umap")),
    default="pca",
    show_default=True,
    help="How the map of the features is laid out; umap wants the package umap-learn.",
)
@json_option
def command(
    bank: Path,
    out: Path,
    categories: str | None,
    version: int | None,
    projection: str,
    as_json: bool,
) -> int:
    """Write static pages about BANK: open DIR/index.html in a browser, no server is needed.

    Each category has a page with its images, attention, prompt points and masks, accepted or
    rejected and why. Further pages show which categories look alike, and a map of the features.
    """
    from rim.cli.progress import resumed_counter
    from rim.reporting import make_report

    with resumed_counter("categories") as progress:
        report = make_report(
            bank,
            out,
            categories=None if categories is None else categories.split(","),
            version=version,
            map=projection,
            progress=progress,
        )
    if as_json:
        print_json(
            {
                "index": str(report.index),
                "version": report.version,
                "categories": report.categories,
                "images": report.images,
                "weak": [
                    {
                        "category_id": one.category.category_id,
                        "category": one.category.name,
                        "reasons": list(one.reasons),
                    }
                    for one in report.weak
                ],
                "files": report.files,
                "bytes": report.bytes,
            }
        )
        return 0
    weak = f"; worth a look: {_names(report)}" if report.weak else ""
    say(
        f"{report.index}: {report.categories} categories, {report.images} images, "
        f"{report.bytes / 1e6:.1f} MB{weak}"
    )
    return 0


def _names(report: Report) -> str:
    """The first weak categories, and how many more there are."""
    return shortened([printable(one.category.name) for one in report.weak])
