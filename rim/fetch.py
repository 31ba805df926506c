"""Getting a preset's models onto this machine, and checking those that are here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from foundation.download import Watch
from foundation.hub import snapshot_folder
from foundation.model_files import (
    fetch,
    file_hashes,
    fingerprint_of,
    is_address,
    is_remote,
    local_path,
    model_files,
    resolve,
)
from rim.fetched import Fetched, FetchedFile, FetchedModel, read_fetched, write_fetched
from schemas.errors import ModelError
from schemas.settings import Models, ModelSource, Settings

Status = Literal["local", "present", "fetched", "repaired"]


@dataclass(frozen=True)
class FetchedRole:
    """One model that is here now.

    name: its location in the preset. revision: the hub's commit, None for files. bytes: of all its
    files. status: "local", a folder that needs no download; "present", was here and is sound;
    "fetched", downloaded now, wholly or in part; "repaired", files of it were damaged and have been
    downloaded anew. damaged: those files.
    """

    role: str
    name: str
    revision: str | None
    path: str
    bytes: int
    fingerprint: str
    status: Status
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class FailedRole:
    """One model that could not be had, and why."""

    role: str
    name: str
    error: str


@dataclass(frozen=True)
class FetchReport:
    """What became of each role of a preset."""

    preset: str
    models: tuple[FetchedRole, ...]
    failed: tuple[FailedRole, ...]

    @property
    def exit_status(self) -> int:
        """0 all is here, 3 but for named models or after repairs, 1 nothing is here."""
        if self.failed and not self.models:
            return 1
        return 3 if self.failed or any(model.damaged for model in self.models) else 0


def fetch_preset(
    settings: Settings, progress: Callable[[str], AbstractContextManager[Watch]]
) -> FetchReport:
    """Downloads what is missing of a preset's four models, and checks every byte that is here.

    What was fetched before is compared with the record of that time; what came here by other ways,
    with what the hub says now. Each model is recorded as soon as it is complete, so an interrupted
    call loses none.

    Args:
        settings: of the preset.
        progress: called with a role; the context yields what watches its transfer.

    Raises:
        OutputError: the record cannot be written.
    """
    models: list[FetchedRole] = []
    failed: list[FailedRole] = []
    for role in Models.model_fields:
        source: ModelSource = getattr(settings.models, role)
        try:
            with progress(role) as watch:
                models.append(_fetch_role(settings.preset, role, source, watch))
        except ModelError as error:
            failed.append(FailedRole(role, source.location, str(error)))
    return FetchReport(settings.preset, tuple(models), tuple(failed))


def _fetch_role(preset: str, role: str, source: ModelSource, watch: Watch) -> FetchedRole:
    local = local_path(source)
    if local is not None or not is_remote(source):
        path = resolve(source, role, preset=preset)
        return _described(role, source, path, file_hashes(path), "local")
    record = read_fetched(preset).models.get(role)
    if record is not None and not record.is_of(source):
        record = None
    here = _here(role, source, record)
    if here is not None and record is not None and record.commit != _commit(source, here):
        record = None  # the hub's branch has moved, and `rim build` has followed it
    if here is not None and record is not None:
        damaged = _damaged(here, record, watch)
        if not damaged:
            hashes = {file.name: file.sha256 for file in record.files}
            return _described(role, source, here, hashes, "present")
        _remove(here, damaged)
        path = fetch(source, role, revision=record.commit, check=True, watch=watch)
        status: Status = "repaired"
    else:
        damaged = ()
        before = _stamps(here)
        path = fetch(source, role, check=True, watch=watch)
        status = "present" if before and before == _stamps(path) else "fetched"
    hashes = file_hashes(path, watch)
    _record(preset, role, source, path, hashes)
    return _described(role, source, path, hashes, status, damaged)


def _here(role: str, source: ModelSource, record: FetchedModel | None) -> Path | None:
    """Where a model's files lie that were downloaded before, also if some are missing by now."""
    try:
        return resolve(source, role)
    except ModelError:
        if record is None or record.commit is None:
            return None
        path = snapshot_folder(source.location, record.commit)
        return path if path.is_dir() else None


def _stamps(path: Path | None) -> dict[Path, int]:
    """Files of a model and when each was last written."""
    return {} if path is None else {file: file.stat().st_mtime_ns for file in model_files(path)}


def _damaged(path: Path, record: FetchedModel, watch: Watch) -> tuple[str, ...]:
    """Names of the files that are missing or not as they were fetched."""
    found = file_hashes(path, watch) if model_files(path) else {}
    return tuple(file.name for file in record.files if found.get(file.name) != file.sha256)


def _remove(path: Path, names: tuple[str, ...]) -> None:
    """Deletes damaged files, in the hub's cache the content that their names link to."""
    for name in names:
        file = path / name if name else path
        target = file.resolve()
        file.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


def _record(
    preset: str, role: str, source: ModelSource, path: Path, hashes: dict[str, str]
) -> None:
    model = FetchedModel(
        location=source.location,
        revision=source.revision,
        commit=_commit(source, path),
        fingerprint=fingerprint_of(hashes),
        files=tuple(
            FetchedFile(name=name, sha256=digest, size=(path / name).stat().st_size)
            for name, digest in sorted(hashes.items())
        ),
        fetched=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    others = read_fetched(preset).models
    write_fetched(Fetched(preset=preset, models={**others, role: model}))


def _commit(source: ModelSource, path: Path) -> str | None:
    """The hub's commit is the name of the snapshot's folder."""
    return None if is_address(source.location) else path.name


def _described(
    role: str,
    source: ModelSource,
    path: Path,
    hashes: dict[str, str],
    status: Status,
    damaged: tuple[str, ...] = (),
) -> FetchedRole:
    files = model_files(path)
    return FetchedRole(
        role=role,
        name=source.location,
        revision=None if status == "local" else _commit(source, path),
        path=str(path),
        bytes=sum(file.stat().st_size for file in files),
        fingerprint=fingerprint_of(hashes),
        status=status,
        damaged=tuple(name or path.name for name in damaged),
    )
