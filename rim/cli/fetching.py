"""Downloads the models of a preset or a bank, checks those on this machine, and records them.

The record is one small JSON file a preset, or bank, in the user's folder of caches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from foundation.weights.cache import cache_folder
from foundation.weights.checkpoint import checkpoint_path
from foundation.weights.download import Watch
from foundation.weights.hub import snapshot_folder
from foundation.weights.model_files import (
    fetch,
    file_hashes,
    fingerprint_of,
    is_address,
    is_remote,
    local_path,
    model_files,
    resolve,
)
from foundation.weights.roles import BUILD_ROLES
from schemas.digests import sha256_bytes
from schemas.errors import ModelError, OutputError
from schemas.records import Count, Record, Sha256
from schemas.settings import ModelSource, Settings
from schemas.store.files import write_atomic

if TYPE_CHECKING:
    from schemas.store.bank import StoredBank


Status = Literal["local", "present", "fetched", "repaired"]


class FetchedFile(Record):
    """One file as it was fetched. name: relative to the model's folder, "" for a single file."""

    name: str
    sha256: Sha256
    size: Count


class FetchedModel(Record):
    """One model as it was fetched.

    location, revision: as the preset had them. commit: the hub's, None for a single file.
    fingerprint: as a bank records it. fetched: ISO 8601, UTC.
    """

    location: str
    revision: str | None
    commit: str | None
    fingerprint: Sha256
    files: tuple[FetchedFile, ...]
    fetched: str

    def is_of(self, source: ModelSource) -> bool:
        """Whether this is still the model that a preset names."""
        same = (self.location, self.revision) == (source.location, source.revision)
        return same and source.sha256 in (None, *(file.sha256 for file in self.files))


class Fetched(Record):
    """The fetched models of one preset by their role."""

    preset: str
    models: dict[str, FetchedModel] = Field(default_factory=dict)


def read_fetched(preset: str) -> Fetched:
    """What is recorded of a preset; nothing if there is no record, or none that can be read."""
    try:
        return Fetched.model_validate_json(_path(preset).read_bytes())
    except (OSError, ValidationError):
        return Fetched(preset=preset)


def write_fetched(record: Fetched) -> None:
    """Writes a preset's record, replacing the old one in a single step.

    Raises:
        OutputError: it cannot be written.
    """
    path = _path(record.preset)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, record.model_dump_json(indent=1).encode("utf-8"))
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); name another folder by RIM_CACHE"
        ) from error


def _path(preset: str) -> Path:
    return cache_folder() / "fetched" / f"{preset}.json"


@dataclass(frozen=True)
class FetchedRole:
    """One model that is here now.

    name: its location in the settings. revision: the hub's commit, None for files. bytes: of all
    its files. status: "local", a folder that needs no download; "present", was here and is sound;
    "fetched", downloaded now, wholly or in part; "repaired", files of it were damaged and have been
    downloaded again. damaged: those files. of_bank: the fingerprint that the bank recorded, if the
    model is fetched for a bank that did.
    """

    role: str
    name: str
    revision: str | None
    path: str
    bytes: int
    fingerprint: str
    status: Status
    damaged: tuple[str, ...] = ()
    of_bank: str | None = None

    @property
    def is_another(self) -> bool:
        """Whether this is not the model that the bank was made with."""
        return self.of_bank not in (None, self.fingerprint)


@dataclass(frozen=True)
class FailedRole:
    """One model that could not be had, and why."""

    role: str
    name: str
    error: str


@dataclass(frozen=True)
class FetchReport:
    """What became of each role that was asked for; preset: the name of the settings."""

    preset: str
    models: tuple[FetchedRole, ...]
    failed: tuple[FailedRole, ...]

    @property
    def exit_status(self) -> int:
        """0 all is here, 3 but for named models or after repairs, 1 nothing is here."""
        if self.failed and not self.models:
            return 1
        return 3 if self.failed or any(one.damaged or one.is_another for one in self.models) else 0


Progress = Callable[[str], AbstractContextManager[Watch]]


def fetch_preset(
    settings: Settings, roles: Sequence[str], progress: Progress, *, check: bool = False
) -> FetchReport:
    """Downloads what is missing of a preset's models, and checks those that are here.

    What was fetched before is compared with the record of that time; what came here by other ways,
    with what the hub, or the settings, say now. Each model is recorded as soon as it is complete,
    so an interrupted call loses none.

    Args:
        settings: of the preset.
        roles: the models that are wanted.
        progress: called with a role; the context yields what watches its transfer.
        check: read every byte, also of files that have not changed since they were last read.

    Raises:
        OutputError: the record cannot be written.
    """
    return _Fetching(settings.preset, progress, check).all(settings, roles, {})


def fetch_bank(
    bank: StoredBank, roles: Sequence[str], progress: Progress, *, check: bool = False
) -> FetchReport:
    """The same for the models that a bank was made with, as its settings name them.

    The bank's fingerprints tell in the report whether it is them that were found.
    """
    settings = bank.settings
    # The preset's name in another user's bank is no safe file name here.
    record = f"bank-{sha256_bytes(settings.models.model_dump_json().encode())[:16]}"
    # Nothing in a bank is made by the text-image model: it may be any.
    expected = {
        role: one.fingerprint for role, one in bank.manifest.models.items() if role in BUILD_ROLES
    }
    return _Fetching(record, progress, check).all(settings, roles, expected)


@dataclass(frozen=True)
class _Fetching:
    """One call: the name of its record, who watches, and whether every byte is read."""

    record: str
    progress: Progress
    check: bool

    def all(
        self, settings: Settings, roles: Sequence[str], expected: dict[str, str]
    ) -> FetchReport:
        models: list[FetchedRole] = []
        failed: list[FailedRole] = []
        sources = settings.models.sources()
        for role in roles:
            source = sources[role]
            try:
                with self.progress(role) as watch:
                    one = self._role(role, source, watch)
                models.append(replace(one, of_bank=expected.get(role)))
            except ModelError as error:
                failed.append(FailedRole(role, source.location, str(error)))
        return FetchReport(settings.preset, tuple(models), tuple(failed))

    def _role(self, role: str, source: ModelSource, watch: Watch) -> FetchedRole:
        local = local_path(source)
        if local is not None or not is_remote(source):
            path = resolve(source, role)
            hashes = file_hashes(path, watch, read=self.check)
            return _described(role, source, path, hashes, "local")
        record = read_fetched(self.record).models.get(role)
        if record is not None and not record.is_of(source):
            record = None
        here = _here(role, source, record)
        if here is not None and record is not None and record.commit != _commit(source, here):
            record = None  # the hub's branch has moved, and `rim build` has followed it
        if here is not None and record is not None:
            damaged = _damaged(here, record, watch, self.check)
            if not damaged:
                hashes = {file.name: file.sha256 for file in record.files}
                return _described(role, source, here, hashes, "present")
            wanted = _as_recorded(source, record)
            path = fetch(wanted, role, revision=record.commit, check=True, watch=watch)
            status: Status = "repaired"
        else:
            damaged = ()
            before = _stamps(here)
            path = fetch(source, role, check=True, watch=watch)
            status = "present" if before and before == _stamps(path) else "fetched"
        hashes = file_hashes(path, watch)
        self._remember(role, source, path, hashes)
        return _described(role, source, path, hashes, status, damaged)

    def _remember(self, role: str, source: ModelSource, path: Path, hashes: dict[str, str]) -> None:
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
        others = read_fetched(self.record).models
        write_fetched(Fetched(preset=self.record, models={**others, role: model}))


def _here(role: str, source: ModelSource, record: FetchedModel | None) -> Path | None:
    """Where a model's files lie that were downloaded before, also if some are missing by now."""
    try:
        return resolve(source, role)
    except ModelError:
        if is_address(source.location):
            file = checkpoint_path(source)
            return file if file.is_file() else None
        if record is None or record.commit is None:
            return None
        path = snapshot_folder(source.location, record.commit)
        return path if path.is_dir() else None


def _stamps(path: Path | None) -> dict[Path, int]:
    """Files of a model and when each was last written."""
    return {} if path is None else {file: file.stat().st_mtime_ns for file in model_files(path)}


def _damaged(path: Path, record: FetchedModel, watch: Watch, read: bool) -> tuple[str, ...]:
    """Names of the files that are missing or not as they were fetched."""
    found = file_hashes(path, watch, read=read) if model_files(path) else {}
    return tuple(file.name for file in record.files if found.get(file.name) != file.sha256)


def _as_recorded(source: ModelSource, record: FetchedModel) -> ModelSource:
    """A file's address with the content that it had, if nobody else says what that is."""
    if not is_address(source.location):
        return source
    (file,) = record.files
    return source.model_copy(update={"sha256": file.sha256, "size": file.size})


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
