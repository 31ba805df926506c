"""A build in progress: `BANK/build.json`, written before the first shard, and the build lock.

It settles which category has which id, so that an interrupted build goes on with the same ones.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from schemas.errors import BankDamaged, OutputError
from schemas.files import write_atomic
from schemas.records import CategoryPhotos, CategoryRecord, Count, Record, Sha256

FILE_NAME = "build.json"
LOCK_NAME = ".lock"


class BuildPlan(Record):
    """What a build has set out to make.

    settings: of `schemas.settings.Settings`, as JSON. vocabulary: with the ids that were assigned.
    source: where its images come from. photos: of a folder of photos, with the numbers that were
    assigned.
    """

    format_version: Literal[1] = 1
    settings: dict[str, Any]
    build_hash: Sha256
    vocabulary: tuple[CategoryRecord, ...]
    background: bool
    next_category_id: Count
    images_per_category: Annotated[int, Field(ge=1)]
    source: Literal["diffusion", "folder"] = "diffusion"
    photos: tuple[CategoryPhotos, ...] = ()


def write_plan(bank: Path, plan: BuildPlan) -> None:
    """Writes the plan, replacing an older one, in a single step; OutputError if it cannot."""
    try:
        bank.mkdir(parents=True, exist_ok=True)
        write_atomic(bank / FILE_NAME, plan.model_dump_json(indent=1).encode("utf-8"))
    except OSError as error:
        raise OutputError(f"cannot write {bank / FILE_NAME}: {error.strerror}") from error


def read_plan(bank: Path) -> BuildPlan | None:
    """The plan of an unfinished build, or None if there is none; BankDamaged if unreadable."""
    path = bank / FILE_NAME
    try:
        return BuildPlan.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BankDamaged(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise BankDamaged(
            f"{path}: expected a build's plan, found: {error.errors()[0]['msg']}; "
            "start the build anew with --overwrite"
        ) from error


def remove_plan(bank: Path) -> None:
    """Deletes the plan: the build is finished."""
    (bank / FILE_NAME).unlink(missing_ok=True)


@contextlib.contextmanager
def build_lock(bank: Path) -> Iterator[None]:
    """Lets one process at a time write into a bank; the system frees it if the process dies.

    The folder is made if needed. Raises OutputError if another process is writing, or the folder
    cannot be made.
    """
    try:
        bank.mkdir(parents=True, exist_ok=True)
        file = (bank / LOCK_NAME).open("wb")
    except OSError as error:
        raise OutputError(f"cannot write into {bank}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"another process is writing into {bank}; wait until it has finished"
            ) from error
        yield
