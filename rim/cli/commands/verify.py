"""`rim verify`: every byte of a bank checked, and what can be repaired is repaired."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rim.cli.options import device_option, examples, json_option, print_json, say

if TYPE_CHECKING:
    from foundation.interfaces import BuildStack
    from schemas.settings import Settings


@click.command(
    "verify", epilog=examples("rim verify bank --repair", "rim verify bank --prune --keep 1")
)
@click.argument("bank", type=click.Path(path_type=Path))
@click.option("--repair", is_flag=True, help="Repair what can be repaired.")
@click.option("--prune", is_flag=True, help="Delete what no version needs.")
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="With --prune: keep only the N latest versions (default: all).",
)
@device_option
@json_option
def command(
    bank: Path, repair: bool, prune: bool, keep: int | None, device: str, as_json: bool
) -> int:
    """Read every file of BANK, all versions, and name each damaged one (status 3).

    --repair derives index and prototypes again from the shards, and makes damaged shards of
    generated images again, if the bank's weights are on this machine. A shard that cannot be made
    again is given up: its images count as failed, and `rim build --retry-failed` makes them again.
    A damaged manifest is set aside, and the version before it is the bank.

    --prune deletes what interrupted builds left and, with --keep, old versions with their files.
    What a build that is to be resumed has finished stays.
    """
    from bank_builder.repair import repair_bank
    from schemas.store.prune import prune as prune_bank
    from schemas.store.verify import inspect_bank

    if keep is not None and not prune:
        raise click.UsageError("--keep wants --prune")
    repaired: list[dict[str, str]] = []
    if repair:
        result = repair_bank(bank, _loader(bank, device))
        repaired = [{"path": str(one.path), "how": one.how} for one in result.repaired]
        found = result.after
        for one in repaired:
            say(f"{one['how']}: {one['path']}")
    pruned = prune_bank(bank, keep) if prune else None
    if pruned is not None or not repair:
        found = inspect_bank(bank)
    latest = found.banks[-1].version if found.banks else None
    if as_json:
        print_json(
            {
                "version": latest,
                "files": found.files,
                "damaged": [
                    {"path": str(one.path), "reason": one.reason, "versions": one.versions}
                    for one in found.damages
                ],
                "repaired": repaired,
                "pruned": None
                if pruned is None
                else {
                    "versions": pruned.versions,
                    "paths": [str(path) for path in pruned.paths],
                    "bytes": pruned.bytes,
                },
            }
        )
    if pruned is not None:
        versions = f"{len(pruned.versions)} versions and " if pruned.versions else ""
        say(f"deleted {versions}{len(pruned.paths)} files and folders, {pruned.bytes / 1e6:.1f} MB")
    for damage in found.damages:
        say(f"rim: {damage.reason}")
    if found.damages:
        say(f"rim: {_advice(bank, latest, repair, [one.versions for one in found.damages])}")
        return 3
    if latest is None:
        say(f"{bank}: no version is left; run the same rim build again, finished shards are kept")
        return 3
    say(f"{bank}: version {latest}, all {found.files} files are as written")
    return 0


def _advice(bank: Path, latest: int | None, repair: bool, versions: list[tuple[int, ...]]) -> str:
    """What to do about the damage that is left."""
    if not repair:
        return f"repair it: rim verify {bank} --repair"
    if latest is not None and not any(latest in needing for needing in versions):
        return (
            f"version {latest} is whole; the damage is in older versions alone, which can go: "
            f"rim verify {bank} --prune --keep 1"
        )
    return "the rest cannot be repaired here; build the bank again into another folder"


def _loader(bank: Path, device: str) -> Callable[[Settings], BuildStack]:
    """Loads a bank's models from what is on this machine, of which every byte is read; a repair
    downloads nothing.
    """

    def load(settings: Settings) -> BuildStack:
        from foundation.stack import ModelStack
        from foundation.weights.missing import Caller

        caller = Caller(bank=bank, purposes=("build",))
        return ModelStack(settings, device, offline=True, caller=caller, read_files=True)

    return load
