"""The settings that determine a run's results, and the first difference of two runs in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from schemas.errors import OutputError
from schemas.records import CategoryId, Count, Record, Sha256
from schemas.settings import differences
from schemas.text import cut


class RunIdentity(Record):
    """All that determines the results beside the photos themselves.

    bank: digest of its manifest. names: of the bank's categories, with their ids, ascending.
    categories: the ids of the only ones that take part, ascending; None for all. settings: the
    sections `proposals` and `matching`.
    """

    model_config = ConfigDict(extra="forbid")

    bank: Sha256
    bank_version: Count
    names: tuple[tuple[CategoryId, str], ...]
    categories: tuple[CategoryId, ...] | None
    settings: dict[str, Any]


def check_same(folder: Path, wanted: RunIdentity, found: RunIdentity) -> None:
    """Raises OutputError with the first difference if the folder's run is not the wanted one."""
    difference = None
    if wanted.bank != found.bank:
        here, there = wanted.bank_version, found.bank_version
        difference = f"of version {there} of the bank, not {here}"
        if here == there:
            difference = "of another bank"
    elif wanted.categories != found.categories:
        difference = f"with categories {_listed(found)}, not {_listed(wanted)}"
    elif wanted != found:
        difference = "with settings = others, not these"  # names alone, which a bank settles
        for key, here, there in differences(wanted.settings, found.settings)[:1]:
            difference = f"with {key} = {cut(json.dumps(there))}, not {cut(json.dumps(here))}"
    if difference is not None:
        raise OutputError(
            f"{folder} holds results {difference}; choose another --out, or --overwrite to start"
            " over"
        )


def _listed(identity: RunIdentity) -> str:
    if identity.categories is None:
        return "all"
    names = dict(identity.names)
    return cut(", ".join(names.get(i, str(i)) for i in identity.categories))
