"""`rim reject`: rejects reference images by hand."""

from __future__ import annotations

from pathlib import Path

import click

from rim.cli.options import bank_argument, examples, json_option


@click.command(
    "reject",
    epilog=examples(
        "rim reject bank 16777219 --reason blurred",
        'rim sql bank "SELECT image_id FROM images WHERE sam_score < 0.5" --format csv \\',
        "  | rim reject bank -",
    ),
)
@bank_argument
@click.argument("image_ids", nargs=-1, required=True, metavar="IMAGE_ID...|-")
@click.option("--reason", metavar="TEXT", help='Why.  [default: "rejected by a person"]')
@click.option("--undo", is_flag=True, help="Take it back: the automatic verdict counts again.")
@json_option
def command(
    bank: Path, image_ids: tuple[str, ...], reason: str | None, undo: bool, as_json: bool
) -> int:
    """Reject reference images of BANK by hand; - reads image_ids from standard input, one a line.

    They stay in the bank, with the reason, but decide nothing any more. A review stands above
    the automatic verdict, in later versions too. Status 3 if it leaves a category without a
    usable reference.
    """
    from bank_builder.review import give_verdicts, take_back_verdicts
    from rim.cli.options import read_image_ids
    from rim.cli.output import tell_verdicts

    if undo and reason is not None:
        raise click.UsageError("--undo takes no --reason", click.get_current_context())
    ids = read_image_ids(image_ids)
    if undo:
        change = take_back_verdicts(bank, ids, "rejected")
        return tell_verdicts(change, bank, "no longer rejected by hand", as_json=as_json)
    change = give_verdicts(bank, ids, "rejected", reason)
    return tell_verdicts(change, bank, "rejected", as_json=as_json)
