"""`rim verify`: every byte of a bank checked."""

from __future__ import annotations

from pathlib import Path

import click

from rim.options import json_option, print_json, say


@click.command("verify", epilog="Example: rim verify bank --repair")
@click.argument("bank", type=click.Path(path_type=Path))
@click.option("--repair", is_flag=True, help="Make a damaged index or prototypes anew.")
@json_option
def command(bank: Path, repair: bool, as_json: bool) -> int:
    """Check every file of BANK against its manifest and name each damaged one (status 3).

    Index and prototypes are caches: --repair makes them anew. A damaged shard cannot be mended
    from within; the same `rim build` command makes a missing one anew.
    """
    from rim.bank import Bank
    from schemas.verify import bank_files, find_damage
    from schemas.verify import repair as repair_derived

    opened = Bank(bank)
    damages = find_damage(opened)
    mended = repair_derived(opened, damages) if repair else []
    damages = [damage for damage in damages if damage not in mended]
    repaired = [str(damage.path) for damage in mended]
    checked = sum(1 for _ in bank_files(opened))
    if as_json:
        print_json(
            {
                "files": checked,
                "damaged": [{"path": str(d.path), "reason": d.reason} for d in damages],
                "repaired": repaired,
            }
        )
    for path in repaired:
        say(f"made anew: {path}")
    for damage in damages:
        say(f"rim: {damage.reason}")
    if not damages:
        say(f"{bank}: version {opened.manifest.version}, all {checked} files are as written")
    return 3 if damages else 0
