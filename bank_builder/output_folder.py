"""The folder that a build writes into: a bank, an unfinished one, or nothing yet."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import OutputError
from schemas.manifest import BuildPlan, Manifest
from schemas.store.lock import LOCK_NAME, MARKER_NAME
from schemas.store.manifests import (
    PLAN_NAME,
    list_versions,
    manifests_folder,
    read_manifest,
    read_plan,
    remove_plan,
)
from schemas.store.shards import shards_folder

_OWN_FOLDERS = ("manifests", "shards", "index", "verdicts")


@dataclass(frozen=True)
class Existing:
    """What is in the folder: the latest version of a bank, and the plan of an unfinished build."""

    manifest: Manifest | None = None
    unfinished: BuildPlan | None = None


def read_existing(out: Path) -> Existing:
    """What an earlier build left in `out`; the folder need not exist.

    A first build that was interrupted before any shard was finished left nothing to go on with:
    its plan does not count.

    Raises:
        BankDamaged: a manifest or plan that is not what was written.
        BankError: a bank of a newer format.
    """
    if list_versions(out):
        return Existing(read_manifest(out, to_write=True), read_plan(out))
    finished = shards_folder(out).glob("[!.]*")
    return Existing(None, read_plan(out) if any(finished) else None)


def check_output(out: Path) -> None:
    """OutputError unless `out` is missing, an empty folder, or one that a build wrote into."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"expected a folder for the bank, found a file: {out}")
    foreign = sorted(
        path.name
        for path in out.iterdir()
        if path.name not in (*_OWN_FOLDERS, PLAN_NAME, LOCK_NAME, MARKER_NAME)
    )
    if foreign and not list_versions(out) and not (out / PLAN_NAME).exists():
        raise OutputError(
            f"expected an empty folder or a bank, found {foreign[0]!r} in {out}; "
            "name another folder"
        )


def clear_bank(out: Path) -> None:
    """Deletes the bank in `out`, the manifests first; files that are not the bank's stay.

    Only for who holds the bank's build lock. Raises OutputError if something cannot be deleted.
    """
    try:
        for version in reversed(list_versions(out)):
            (manifests_folder(out) / f"{version:06d}.json").unlink()
        remove_plan(out)
        for name in _OWN_FOLDERS:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
    except OSError as error:
        raise OutputError(f"cannot delete the old bank in {out}: {error.strerror}") from error
