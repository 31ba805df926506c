"""The folder of a run over many photos, which an interrupted run resumes without labelling again.

DIR/.rim-query/ holds `run.json`, the settings that determine the results, and for each finished
photo `photos/NAME.json.gz` (`stored_photo`). The latter is written after the photo's files, so an
interrupted run loses nothing that was finished; the files about all photos are made of them, one
photo at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, ValidationError

from query.exports.base import FinishedRun, RunPhoto, Target, common_folder
from query.exports.formats import (
    FORMATS,
    REGIONS,
    check_category_ids,
    encoded,
    in_order,
    write_files,
)
from query.exports.inputs import InputImage
from query.exports.run_identity import RunIdentity, check_same
from query.exports.stored_photo import PLACEHOLDER, FileMark, PhotoMark, StoredPhoto
from query.result import LabelledPhoto
from schemas.errors import BankDamaged, OutputError
from schemas.records import Record
from schemas.store.files import make_folder, write_atomic
from schemas.store.lock import build_lock
from schemas.store.manifests import manifests_folder
from schemas.store.sealed import read_sealed, seal

STATE_FOLDER = ".rim-query"

_STATE = "run.json"
_PHOTOS = "photos"


class _State(Record):
    model_config = ConfigDict(extra="forbid")

    format: Literal["rim-query"] = "rim-query"
    format_version: Literal[1] = 1
    identity: RunIdentity
    formats: tuple[str, ...]


@dataclass
class QueryRun:
    """An open run; no other process writes into its folder at the same time.

    Attributes:
        folder: of the results.
        identity: of this run.
        formats: all that the folder has or is to have; formats once made are kept up to date.
    """

    folder: Path
    identity: RunIdentity
    formats: tuple[str, ...]

    @property
    def names(self) -> dict[int, str]:
        """The bank's categories by id."""
        return dict(self.identity.names)

    def earlier(self, image: InputImage) -> StoredPhoto | None:
        """The results of an earlier run; None if there are none, or if the photo has changed."""
        stored = StoredPhoto.read(self._stored_path(image.name))
        if stored is None or not stored.known(self.names) or not stored.photo.fits(image.path):
            return None
        return stored

    def missing(self, image: InputImage, stored: StoredPhoto) -> tuple[str, ...]:
        """The formats of which files are missing, or no longer as they were written."""
        return tuple(name for name in self.formats if not self._is_there(name, image.name, stored))

    def add(self, image: InputImage, result: LabelledPhoto, mark: PhotoMark) -> tuple[Path, ...]:
        """Writes the files of a photo that was labelled; returns them.

        mark: of the photo, from before it was read. Raises OSError if they cannot be written.
        """
        old = StoredPhoto.read(self._stored_path(image.name))
        stored = self._write(image, result, StoredPhoto.of(result, mark), self.formats)
        if old is not None:  # of a photo of another kind, whose copy had another ending
            _remove(self.folder, image.name, old, keep=stored.files)
        return self.files(image, stored)

    def complete(
        self, image: InputImage, result: LabelledPhoto, stored: StoredPhoto
    ) -> tuple[Path, ...]:
        """Writes the missing files of a finished photo; the result is `stored.result()`.

        Returns all of the photo's files. Raises OSError if one cannot be written.
        """
        return self.files(image, self._write(image, result, stored, self.missing(image, stored)))

    def files(self, image: InputImage, stored: StoredPhoto) -> tuple[Path, ...]:
        """A photo's files, in the order of the formats."""
        written = _paths(self.formats, image.name).items()
        return tuple(self.folder / path for path, key in written if key in stored.files)

    def finish(self, given: Sequence[InputImage], done: Sequence[InputImage]) -> tuple[Path, ...]:
        """Writes the files about all photos of a run; returns them.

        Photos of earlier runs in this folder that are not among `done` are not in these files.

        Args:
            given: all photos of the run, also those that failed; names are relative to the folder
                that they have in common.
            done: those with results.

        Raises OSError if one cannot be written.
        """
        root = common_folder(image.path for image in given)

        def photos() -> Iterator[RunPhoto]:
            for number, image in enumerate(done, start=1):
                stored = StoredPhoto.read(self._stored_path(image.name))
                if stored is None:
                    raise OSError(f"{self._stored_path(image.name)}: it has gone or was changed")
                file_name = Path(os.path.abspath(image.path)).relative_to(root).as_posix()
                yield RunPhoto(number, image.name, file_name, stored)

        run = FinishedRun(self.folder, self.names, self.identity.bank_version, photos)
        written: list[Path] = []
        for name in self.formats:
            write = FORMATS[name].write_run
            if write is not None:
                for path in FORMATS[name].run_paths:
                    make_folder((self.folder / path).parent)
                write(run)
                written.extend(self.folder / path for path in FORMATS[name].run_paths)
        return tuple(written)

    def others(self, done: Iterable[InputImage]) -> int:
        """Counts the photos of earlier runs that the folder has beside these."""
        stored = {path.name for path in (self._state_folder / _PHOTOS).glob("*.json.gz")}
        return len(stored - {self._stored_path(image.name).name for image in done})

    @property
    def _state_folder(self) -> Path:
        return self.folder / STATE_FOLDER

    def _stored_path(self, name: str) -> Path:
        return self._state_folder / _PHOTOS / f"{name}.json.gz"

    def _is_there(self, kind: str, name: str, stored: StoredPhoto) -> bool:
        possible = _paths([kind], name)
        written = {path: key for path, key in possible.items() if key in stored.files}
        whole = all(
            FileMark.of(self.folder / path) == stored.files[key] for path, key in written.items()
        )
        return whole and (bool(written) or not possible)

    def _write(
        self, image: InputImage, result: LabelledPhoto, stored: StoredPhoto, formats: Sequence[str]
    ) -> StoredPhoto:
        target = Target(self.folder, image.name, image.path)
        own = _paths(formats, image.name)
        files = dict(stored.files)
        # What is about all photos is written by `finish`.
        made = (file for file in encoded(result, target, formats) if file.path in own)
        for path in write_files(self.folder, made):
            mark = FileMark.of(path)
            if mark is not None:
                files[own[path.relative_to(self.folder).as_posix()]] = mark
        stored = stored.with_files(files)
        make_folder(self._stored_path(image.name).parent)
        write_atomic(self._stored_path(image.name), stored.to_bytes())
        return stored


def has_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return (folder / STATE_FOLDER / _STATE).exists()


@contextlib.contextmanager
def query_run(
    folder: Path, identity: RunIdentity, formats: Sequence[str], *, overwrite: bool = False
) -> Iterator[QueryRun]:
    """Opens the folder of a run, made if need be, and locks it; resumes the run that it holds.

    Args:
        formats: those that are wanted; those that the run in the folder has are kept too.
        overwrite: delete the run that the folder holds, with those of its files that are still as
            it wrote them.

    Raises OutputError if the folder holds a run of another bank or other settings, naming the first
    difference, or a state that is damaged; if another process writes into it; if a format cannot
    hold the bank's category_ids. WriteFailed for what the disk refuses, also within the block.
    """
    if manifests_folder(folder).exists():
        raise OutputError(f"{folder}: expected a folder for the results, found a bank")
    check_category_ids(formats, [category_id for category_id, _ in identity.names])
    with build_lock(folder / STATE_FOLDER):
        path = folder / STATE_FOLDER / _STATE
        if overwrite:
            _forget(folder)
        state = _read(path)
        found: tuple[str, ...] = ()
        if state is not None:
            check_same(folder, identity, state.identity)
            found = state.formats
        wanted = in_order([*formats, *found, REGIONS])
        if state is None or wanted != found:
            new = _State(identity=identity, formats=wanted)
            write_atomic(path, seal(new.model_dump(mode="json")))
        yield QueryRun(folder, identity, wanted)


def _forget(folder: Path) -> None:
    """Deletes a run: its state first, so that half of one is never taken for a whole one."""
    state = folder / STATE_FOLDER / _STATE
    with contextlib.suppress(OutputError):  # of a damaged state it is not known what belongs to it
        found = _read(state)
        for name in found.formats if found is not None else ():
            for path in FORMATS[name].run_paths:
                (folder / path).unlink(missing_ok=True)
    state.unlink(missing_ok=True)
    for photo in (folder / STATE_FOLDER / _PHOTOS).glob("*.json.gz"):
        stored = StoredPhoto.read(photo)
        if stored is not None:
            _remove(folder, photo.name.removesuffix(".json.gz"), stored)
        photo.unlink(missing_ok=True)


def _remove(folder: Path, name: str, stored: StoredPhoto, keep: Container[str] = ()) -> None:
    """Deletes a photo's results, except some, that are still as they were written."""
    for path, key in _paths(FORMATS, name).items():
        ours = key in stored.files and FileMark.of(folder / path) == stored.files[key]
        if ours and key not in keep:
            (folder / path).unlink(missing_ok=True)


def _paths(formats: Iterable[str], name: str) -> dict[str, str]:
    """The possible paths of a photo's files, each with its key in `StoredPhoto.files`.

    In the order of the formats.
    """
    paths: dict[str, str] = {}
    for one in (FORMATS[kind] for kind in formats):
        paths.update(zip(one.photo_paths(name), one.photo_paths(PLACEHOLDER), strict=True))
    return paths


def _read(path: Path) -> _State | None:
    if not path.exists():
        return None
    try:
        content = read_sealed(path)
        del content["digest"]
        state = _State.model_validate_json(json.dumps(content))
        if not set(state.formats) <= FORMATS.keys():
            raise OutputError(f"{path}: made by a newer rim; install it, or --overwrite")
    except (BankDamaged, ValidationError) as error:
        reason = str(error).splitlines()[0].removeprefix(f"{path}: ")
        raise OutputError(
            f"{path}: expected the state of a query, found it damaged ({reason}); start over with"
            " --overwrite"
        ) from error
    return state
