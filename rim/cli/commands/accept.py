"""`rim accept`: accepts reference images by hand."""

from __future__ import annotations

from pathlib import Path

import click

from rim.cli.options import bank_argument, examples, json_option


@click.command(
    "accept",
    epilog=examples(
        "rim accept bank 16777219",
        "rim sql bank \"SELECT image_id FROM images WHERE reason LIKE 'outlier%'\" --format csv \\",
        "  | rim accept bank -",
    ),
)
@bank_argument
@click.argument("image_ids", nargs=-1, required=True, metavar="IMAGE_ID...|-")
@click.option("--undo", is_flag=True, help="Take it back: the automatic verdict counts again.")
@json_option
def command(bank: Path, image_ids: tuple[str, ...], undo: bool, as_json: bool) -> int:
    """Accept reference images of BANK by hand; - reads image_ids from standard input, one a line.

    A review stands above the automatic verdict, in later versions too. An image without a
    mask has nothing to accept. Status 3 if, with --undo, a category is left without a usable
    reference.
    """
    from bank_builder.review import give_verdicts, take_back_verdicts
    from rim.cli.options import read_image_ids
    from rim.cli.output import tell_verdicts

    ids = read_image_ids(image_ids)
    if undo:
        change = take_back_verdicts(bank, ids, "accepted")
        return tell_verdicts(change, bank, "no longer accepted by hand", as_json=as_json)
    change = give_verdicts(bank, ids, "accepted")
    return tell_verdicts(change, bank, "accepted", as_json=as_json)
