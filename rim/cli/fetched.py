"""What `rim fetch` got: one small JSON file a preset, or bank, in the per-user folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from foundation.weights.cache import cache_folder
from schemas.errors import OutputError
from schemas.records import Count, Record, Sha256
from schemas.settings import ModelSource
from schemas.store.files import write_atomic


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
