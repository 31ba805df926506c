"""`rim info`: what a bank holds."""

from __future__ import annotations

from pathlib import Path

import click

from rim.cli.options import examples, json_option, print_json, stdout_console


@click.command("info", epilog=examples("rim info bank --json"))
@click.argument("bank", type=click.Path(path_type=Path))
@json_option
def command(bank: Path, as_json: bool) -> int:
    """Say what BANK holds and how it was made."""
    from rim.bank import Bank

    facts = Bank(bank).info()
    if as_json:
        print_json(facts)
        return 0

    from rich.markup import escape
    from rich.table import Table

    from schemas.text import printable

    def shown(text: str) -> str:
        # Somebody else's bank: its texts are neither marks nor codes for the terminal.
        return escape(printable(text, most=10_000))

    console = stdout_console()
    console.print(
        f"[bold]{shown(facts['path'])}[/] version {facts['version']}, {shown(facts['created'])}, "
        f"preset {shown(facts['preset'])}",
        soft_wrap=True,
    )
    sources = ", ".join(f"{count} {shown(source)}" for source, count in facts["sources"].items())
    console.print(
        f"{facts['images']} images ({sources}): {facts['accepted']} accepted, "
        f"{facts['rejected']} rejected, {facts['failed']} failed; "
        f"{facts['features']} features of {facts['dimension']} numbers; "
        f"{facts['bytes'] / 1e6:.1f} MB"
    )
    for reason, count in facts["reasons"].items():
        console.print(f"  {count} x {shown(reason)}")
    table = Table("id", "category", "synonyms", "images", "accepted", box=None)
    for category in facts["categories"]:
        table.add_row(
            str(category["category_id"]),
            shown(category["name"]),
            shown(", ".join(category["synonyms"])),
            str(category["images"]),
            str(category["accepted"]),
        )
    console.print(table)
    for role, model in facts["models"].items():
        console.print(
            shown(f"{role}: {model['name']} ({model['licence']}) {model['fingerprint'][:12]}")
        )
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in facts["seconds"].items())
    console.print(shown(f"seconds: {seconds}"))
    return 0
