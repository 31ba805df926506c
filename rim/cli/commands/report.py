"""`rim report`: writes static HTML pages about a bank."""

from __future__ import annotations

from pathlib import Path

import click

from rim.cli.options import (
    SuggestingChoice,
    bank_argument,
    categories_option,
    examples,
    json_option,
    listed,
)
from rim.cli.output import print_json, say
from schemas.text import printable, shortened


@click.command(
    "report",
    epilog=examples(
        "rim report bank --out report",
        "rim report bank --out report --categories house,fish --version 2",
    ),
)
@bank_argument
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Made if it is missing; an earlier report there is replaced.",
)
@categories_option("Show only these.")
@click.option(
    "--version", type=click.IntRange(1), metavar="N", help="Of the bank.  [default: latest]"
)
@click.option(
    "--map",
    "projection",
    type=SuggestingChoice(("pca", "umap")),
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
    from rim.api import report as write_pages
    from rim.cli.progress import resumed_counter

    with resumed_counter("categories") as progress:
        report = write_pages(
            bank,
            out,
            categories=listed(categories),
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
    names = shortened([printable(one.category.name) for one in report.weak])
    weak = f"; worth a look: {names}" if names else ""
    say(
        f"{report.index}: {report.categories} categories, {report.images} images, "
        f"{report.bytes / 1e6:.1f} MB{weak}"
    )
    return 0
