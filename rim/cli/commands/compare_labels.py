"""`rim compare-labels`: how alike two vocabularies are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rim.cli import completions
from rim.cli.options import (
    device_option,
    examples,
    json_option,
    offline_option,
    print_json,
    say,
    stdout_console,
)

if TYPE_CHECKING:
    from rich.table import Table

    from rim.evaluation.label_similarity import Direction, LabelComparison


@click.command("compare-labels", epilog=examples("rim compare-labels ade150 coco-stuff --top 10"))
@click.argument("a", shell_complete=completions.vocabularies)
@click.argument("b", shell_complete=completions.vocabularies)
@click.option(
    "--preset",
    default="paper",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="Whose CLIP embeds the names.",
    shell_complete=completions.presets,
)
@click.option(
    "--template", metavar="TEXT", help="Has {category} in it; by default that of the preset."
)
@click.option(
    "--top",
    default=5,
    show_default=True,
    metavar="N",
    type=click.IntRange(0),
    help="Worst categories to show, of each vocabulary.",
)
@device_option
@offline_option
@json_option
def command(
    a: str,
    b: str,
    preset: str,
    template: str | None,
    top: int,
    device: str,
    offline: bool,
    as_json: bool,
) -> int:
    """Label-set similarity of the vocabularies A and B under a CLIP text encoder.

    A and B: a file, a shipped name (ade150, coco-stuff, ...) or - for standard input. Of each
    category the most similar one of the other vocabulary is sought, by the cosine of their text
    embeddings. Hausdorff is the worst category's best match, mean the average best match; both in
    both directions. Synonyms and the line `background` do not count.

    The default is the paper's CLIP, ViT-L/14 (1.7 GB). The miniature preset knows the words of its
    drawn world only.
    """
    from rim.evaluation.label_similarity import compare_labels

    found = compare_labels(a, b, preset=preset, template=template, device=device, offline=offline)
    for warning in found.warnings:
        say(f"rim: {warning}")
    if as_json:
        print_json({"a": a, "b": b, **found.to_dict()})
    else:
        _print(a, b, found, top)
    return 0


def _print(a: str, b: str, found: LabelComparison, top: int) -> None:
    from rich.table import Table

    from rim.evaluation.label_similarity import DEFINITION

    console = stdout_console()
    # A console would break lines that a reader may want to search.
    click.echo(f"A: {a}, {found.categories_a} categories")
    click.echo(f"B: {b}, {found.categories_b} categories")
    click.echo(f"CLIP {found.model}, '{found.template}'")
    table = Table("", "Hausdorff", "mean", box=None)
    both = (("A -> B", found.similarity.a_to_b), ("B -> A", found.similarity.b_to_a))
    for name, direction in both:
        table.add_row(name, f"{direction.hausdorff:.3f}", f"{direction.mean:.3f}")
    table.add_row("both ways", f"{found.similarity.hausdorff:.3f}", "")
    console.print(table)
    for name, direction in both if top else ():
        console.print(_worst(f"worst, {name}", direction, top))
    console.print(f"{DEFINITION}.", markup=False)


def _worst(title: str, direction: Direction, top: int) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title, "best match", "cosine", box=None)
    for one in direction.matches[:top]:
        table.add_row(escape(one.category), escape(one.match), f"{one.similarity:.3f}")
    return table
