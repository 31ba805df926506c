"""`rim info`: what a bank holds."""

from __future__ import annotations

from pathlib import Path

import click

from rim.options import json_option, print_json


@click.command("info", epilog="Example: rim info bank --json")
@click.argument("bank", type=click.Path(path_type=Path))
@json_option
def command(bank: Path, as_json: bool) -> int:
    """Say what BANK holds and how it was made."""
    from rim.bank import Bank

    facts = Bank(bank).info()
    if as_json:
        print_json(facts)
        return 0

    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"[bold]{facts['path']}[/] version {facts['version']}, {facts['created']}, "
        f"preset {facts['preset']}",
        soft_wrap=True,
    )
    sources = ", ".join(f"{count} {source}" for source, count in facts["sources"].items())
    console.print(
        f"{facts['images']} images ({sources}): {facts['accepted']} accepted, "
        f"{facts['rejected']} rejected, {facts['failed']} failed; "
        f"{facts['features']} features of {facts['dimension']} numbers; "
        f"{facts['bytes'] / 1e6:.1f} MB"
    )
    for reason, count in facts["reasons"].items():
        console.print(f"  {count} x {reason}", markup=False)
    table = Table("id", "category", "synonyms", "images", "accepted", box=None)
    for category in facts["categories"]:
        table.add_row(
            str(category["category_id"]),
            category["name"],
            ", ".join(category["synonyms"]),
            str(category["images"]),
            str(category["accepted"]),
        )
    console.print(table)
    for role, model in facts["models"].items():
        console.print(
            f"{role}: {model['name']} ({model['licence']}) {model['fingerprint'][:12]}",
            markup=False,
        )
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in facts["seconds"].items())
    console.print(f"seconds: {seconds}", markup=False)
    return 0
