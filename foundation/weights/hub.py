"""Models of the Hugging Face hub: the files of a repository, and those in the hub's own cache.

huggingface_hub's `snapshot_download` finds what is here, and makes the folder of the snapshot, so
that every other program finds the files too. The bytes themselves are fetched by
`foundation.weights.download` to where huggingface_hub looks for them (blobs by their digest, see
"Understand caching" in its documentation), because of three promises that `snapshot_download` does
not keep (huggingface_hub 2.4). Interrupted, it deletes what has arrived of a file, which may be
gigabytes. Of what has arrived it compares the size and no digest. If the disk is too small, it only
warns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from foundation.weights.cache import is_own_download
from foundation.weights.download import (
    Digest,
    Transfer,
    Watch,
    download,
    not_ours,
    unfinished_bytes,
)
from foundation.weights.layout import CONFIG, INDEX, Layout, layout_of
from schemas.errors import ModelError


@dataclass(frozen=True)
class HubFile:
    """One file of a repository: its name there, its bytes, and the digest of its content."""

    name: str
    size: int
    digest: Digest


@dataclass(frozen=True)
class Listing:
    """The files of a repository that a model needs, at one commit."""

    location: str
    commit: str
    files: tuple[HubFile, ...]


def cached_snapshot(location: str, revision: str | None) -> Path:
    """The folder of a model that was downloaded before; nothing is asked of the hub.

    Raises:
        Exception: of huggingface_hub, if it is not there or not complete.
    """
    folder = _cached(location, revision, Layout((INDEX,)))
    if not (folder / INDEX).exists():
        _cached(location, revision, Layout((CONFIG, "model.safetensors*")))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    layout = layout_of(names, lambda name: (folder / name).read_bytes())
    lacking = layout.without_weights(names)
    if lacking:
        raise FileNotFoundError(f"no weights in {', '.join(str(folder / one) for one in lacking)}")
    return _cached(location, revision, layout)


def _cached(location: str, revision: str | None, layout: Layout) -> Path:
    """The folder of a snapshot that has all files of a layout, as far as the cache knows them."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            location,
            revision=revision,
            allow_patterns=list(layout.allowed),
            ignore_patterns=list(layout.ignored),
            local_files_only=True,
        )
    )


def fetch_snapshot(
    location: str, revision: str | None, *, check: bool = False, watch: Watch | None = None
) -> Path:
    """Downloads what is missing of a model and returns its folder in the hub's cache.

    Args:
        location: the hub id "owner/name".
        revision: a commit, branch or tag; None is the main branch.
        check: compare also the files that are there already with the hub's digests. What is
            downloaded is always compared.
        watch: called often with what is there so far.

    Raises:
        ModelError: no usable weights in the repository, a file arrived corrupted, or one that is
            there is damaged and was not downloaded by rim; one that was is downloaded again.
        Exception: of huggingface_hub and its HTTP client, whatever stops the transfer.
    """
    from huggingface_hub import snapshot_download

    listing = list_files(location, revision)
    snapshot = snapshot_folder(location, listing.commit)
    blobs = snapshot.parents[1] / "blobs"
    work = _Work(listing, watch)
    missing = []
    for file in listing.files:
        blob, link = blobs / file.digest.digits, snapshot / file.name
        if _is_good(file, blob, link, check, work):
            work.kept(file, file.size)
        else:
            work.kept(file, min(unfinished_bytes(blob), file.size))
            missing.append((file, blob))
    for file, blob in missing:
        _download(listing, file, blob, partial(work.arrived, file.name) if watch else None)
    made = Path(
        snapshot_download(
            location,
            revision=revision,
            allow_patterns=[file.name for file in listing.files],
            tqdm_class=_no_bar(),
        )
    )
    if made.name != listing.commit:  # the branch moved meanwhile: what came last is unchecked
        return fetch_snapshot(location, revision, check=True, watch=watch)
    return made


def snapshot_folder(location: str, commit: str) -> Path:
    """The folder of one commit's files in the hub's cache, whether or not it is there."""
    from huggingface_hub import constants

    folder = f"models--{location.replace('/', '--')}"
    return Path(constants.HF_HUB_CACHE).expanduser() / folder / "snapshots" / commit


def list_files(location: str, revision: str | None) -> Listing:
    """Asks the hub for the files of a model at a commit, branch or tag (None: the main branch).

    Raises:
        ModelError: the repository has no weights in a format that is loaded here.
        Exception: of huggingface_hub, if there is no such repository or no connection.
    """
    from huggingface_hub import HfApi

    info = HfApi().model_info(location, revision=revision, files_metadata=True)
    files = {}
    for sibling in info.siblings or ():
        if sibling.lfs is not None:
            digest = Digest("sha256", sibling.lfs.sha256)
        else:
            digest = Digest("git-sha1", str(sibling.blob_id))
        files[sibling.rfilename] = HubFile(sibling.rfilename, int(sibling.size or 0), digest)
    everything = Listing(location, str(info.sha), tuple(files.values()))
    layout = layout_of(files, lambda name: _content(everything, files[name]))
    lacking = layout.without_weights(files)
    if lacking:
        where = f" in {', '.join(lacking)}" if any(lacking) else ""
        raise ModelError(
            f"{location}: expected weights as *.safetensors{where}, found none in full precision; "
            "name another repository, or another revision of it"
        )
    used = tuple(file for name, file in sorted(files.items()) if layout.uses(name))
    return Listing(location, everything.commit, used)


def _content(listing: Listing, file: HubFile) -> bytes:
    """The content of a small file of a repository, which is then in the cache."""
    snapshot = snapshot_folder(listing.location, listing.commit)
    blob = snapshot.parents[1] / "blobs" / file.digest.digits
    if not _is_good(file, blob, snapshot / file.name, True, _Work(listing, None)):
        _download(listing, file, blob, None)
    return blob.read_bytes() if blob.exists() else (snapshot / file.name).read_bytes()


def _download(
    listing: Listing, file: HubFile, blob: Path, on_bytes: Callable[[int], None] | None
) -> None:
    from huggingface_hub import constants, get_token, hf_hub_url

    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    download(
        hf_hub_url(listing.location, file.name, revision=listing.commit),
        blob,
        digest=file.digest,
        size=file.size,
        headers=None if token is None else {"authorization": f"Bearer {token}"},
        on_bytes=on_bytes,
    )


def _is_good(file: HubFile, blob: Path, link: Path, check: bool, work: _Work) -> bool:
    """Whether a file is there and good; one that has to be downloaded is neither.

    Raises ModelError for a bad one that rim has not downloaded: it is another program's.
    """
    there = link if link.exists() else blob
    if not there.exists():
        return False
    good = there.stat().st_size == file.size
    if good and check:
        work.checks(file)
        good = file.digest.matches(there)
    if not good and not is_own_download(there):
        raise not_ours(there, f"{file.size} bytes with the {file.digest}")
    return good


def _no_bar() -> type[Any]:
    """A progress bar that is never shown: nothing is left to download when it would be."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class NoBar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["disable"] = True
            super().__init__(*arguments, **options)

    return NoBar


class _Work:
    """Adds up the bytes of all files of a model, and tells them to who watches."""

    def __init__(self, listing: Listing, watch: Watch | None) -> None:
        self._watch = watch
        self._total = sum(file.size for file in listing.files)
        self._done: dict[str, int] = {}
        self._kept = 0

    def kept(self, file: HubFile, size: int) -> None:
        """So many bytes of a file were here before."""
        self._done[file.name] = size
        self._kept += size

    def checks(self, file: HubFile) -> None:
        """A file is being read."""
        self._tell(file.name, checking=True)

    def arrived(self, name: str, done: int) -> None:
        """So many bytes of a file are here by now."""
        self._done[name] = done
        self._tell(name)

    def _tell(self, name: str, checking: bool = False) -> None:
        if self._watch is not None:
            done = sum(self._done.values())
            self._watch(Transfer(name, done, self._total, self._kept, checking))
