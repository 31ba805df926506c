"""A build in progress: `BANK/build.json`, written before the first shard.

It settles which category has which id, so that an interrupted build goes on with the same ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from schemas.errors import BankDamaged, OutputError
from schemas.records import CategoryPhotos, CategoryRecord, Count, Record, Sha256
from schemas.store.files import fsync_folder, make_folder, write_atomic
from schemas.store.sealed import read_sealed, seal

FILE_NAME = "build.json"


class BuildPlan(Record):
    """What a build has set out to make.

    settings: of `schemas.settings.Settings`, as JSON. vocabulary: with the ids that were assigned.
    source: where its images come from. photos: of a folder of photos, with the numbers that were
    assigned. fingerprints: of the models that it was begun with, by role.
    """

    model_config = ConfigDict(extra="forbid")

    format_version: Literal[1] = 1
    settings: dict[str, Any]
    build_hash: Sha256
    vocabulary: tuple[CategoryRecord, ...]
    background: bool
    next_category_id: Count
    images_per_category: Annotated[int, Field(ge=1)]
    source: Literal["diffusion", "folder"] = "diffusion"
    photos: tuple[CategoryPhotos, ...] = ()
    fingerprints: dict[str, str] = Field(default_factory=dict)


def write_plan(bank: Path, plan: BuildPlan) -> None:
    """Writes the plan, replacing an older one, in a single step; OutputError if it cannot."""
    try:
        make_folder(bank)
        write_atomic(bank / FILE_NAME, seal(plan.model_dump(mode="json")))
    except OSError as error:
        raise OutputError(f"cannot write {bank / FILE_NAME}: {error.strerror}") from error


def read_plan(bank: Path) -> BuildPlan | None:
    """The plan of an unfinished build, or None if there is none; BankDamaged if unreadable."""
    path = bank / FILE_NAME
    if not path.exists():
        return None
    try:
        content = read_sealed(path)
    except BankDamaged as error:
        raise BankDamaged(
            f"{error}; to set it aside, the finished shards stay: rim verify --repair"
        ) from error
    del content["digest"]
    try:
        return BuildPlan.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise BankDamaged(
            f"{path}: expected a build's plan, found: {error.errors()[0]['msg']}; was it written "
            "by another rim? Finish the build with that one, or start anew with --overwrite"
        ) from error


def remove_plan(bank: Path) -> None:
    """Deletes the plan: the build is finished."""
    (bank / FILE_NAME).unlink(missing_ok=True)
    fsync_folder(bank)
