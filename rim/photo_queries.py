"""`rim.query_folder`: many photos at once, with what is done kept; the command's work as well."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rim.api import category_ids, query_overrides
from rim.bank import Bank
from schemas.errors import ImageError

if TYPE_CHECKING:
    from query.exports.inputs import InputImage
    from query.exports.run_folder import QueryRun
    from query.exports.run_identity import RunIdentity
    from query.exports.stored_photo import StoredPhoto
    from query.result import LabelledPhoto
    from query.segmentation import QueryEngine, Segmentation


@dataclass(frozen=True)
class PhotoDone:
    """A photo with results. regions: how many. reused: whether an earlier run had labelled it."""

    image: Path
    regions: int
    files: tuple[Path, ...]
    reused: bool


@dataclass(frozen=True)
class PhotoFailed:
    """A photo that could not be read, and why in one line."""

    image: Path
    error: str


@dataclass(frozen=True)
class FolderResult:
    """What a query of many photos has done.

    Attributes:
        out: the folder of the results.
        images: the photos with results, in their order.
        failed: the others.
        files: those about all photos.
        others: photos that earlier runs left in the folder and that this one was not asked for;
            they are not in `files`.
    """

    out: Path
    images: tuple[PhotoDone, ...]
    failed: tuple[PhotoFailed, ...]
    files: tuple[Path, ...] = ()
    others: int = 0


@dataclass(frozen=True)
class PhotoQuery:
    """How photos are labelled; the fields are the arguments of `rim.query`.

    on_role: called with the role of each model before it is loaded. on_ready: called when all are.
    """

    bank: Bank
    categories: Collection[int] | None
    overrides: tuple[str, ...]
    preset: str | None = None
    device: str = "auto"
    offline: bool = False
    on_role: Callable[[str], None] = lambda role: None
    on_ready: Callable[[], None] = lambda: None

    @cached_property
    def engine(self) -> QueryEngine:
        """The models, checked against the bank; only what is not done yet needs them."""
        return self.bank.engine(
            overrides=self.overrides, preset=self.preset, device=self.device, offline=self.offline
        )

    @cached_property
    def _loaded(self) -> QueryEngine:
        """The engine, its models loaded."""
        engine = self.engine
        engine.load(self.on_role)
        self.on_ready()
        return engine

    def segment(self, photo: Path) -> Segmentation:
        """Label a photo; ImageError if it cannot be read, and then no model is loaded for it."""
        from foundation.images.reading import read_image

        if "_loaded" not in vars(self):
            read_image(photo)
        return self._loaded.segment(photo, categories=self.categories)

    def identity(self) -> RunIdentity:
        """What determines the results beside the photos."""
        from query.exports.run_identity import RunIdentity

        settings = self.bank.query_settings(self.preset, self.overrides)
        chosen = None if self.categories is None else tuple(sorted(set(self.categories)))
        return RunIdentity(
            bank=self.bank.manifest.digest,
            bank_version=self.bank.version,
            names=tuple((one.category_id, one.name) for one in self.bank.categories),
            categories=chosen,
            settings={
                "proposals": settings.proposals.model_dump(mode="json"),
                "matching": settings.matching.model_dump(mode="json"),
            },
        )


def query_folder(
    bank: Bank | str | Path,
    images: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    formats: Sequence[str] = ("labels", "overlay", "json"),
    categories: Iterable[str] | None = None,
    matcher: str | None = None,
    background: float | str | None = None,
    filter: bool = False,
    text_weight: float | None = None,
    source_weight: Mapping[str, float] | None = None,
    settings: Sequence[str] = (),
    preset: str | None = None,
    device: str = "auto",
    offline: bool = False,
    overwrite: bool = False,
) -> FolderResult:
    """Label many photos into a folder; what `rim query BANK IMAGES --out OUT` does.

    Photos that an earlier call with the same bank and settings has labelled are not labelled again
    unless they have changed; an interrupted call goes on. `OUT/regions.parquet` has the regions of
    all photos. A photo that cannot be read is among `failed`, and the others are done.

    Args:
        images: files and folders.
        formats: out of "labels", "overlay", "json", "palette", "labelme", "coco", "dataset" and
            "regions"; formats that the folder has already are kept up to date.
        overwrite: delete the results of other settings that are in `out`.

    The other arguments are those of `rim.query`.

    Raises UsageError if there is no photo, or two would have results of one name; OutputError if
    `out` holds results of another bank or other settings, naming the first difference; and what
    `rim.query` raises, except ImageError.
    """
    from query.exports.inputs import check_outputs, collect_inputs

    opened = bank if isinstance(bank, Bank) else Bank(bank)
    overrides = query_overrides(
        matcher,
        background,
        settings,
        filter=filter,
        text_weight=text_weight,
        source_weight=source_weight,
    )
    chosen = category_ids(opened, categories)
    inputs = collect_inputs([images] if isinstance(images, str | Path) else images)
    check_outputs(inputs, Path(out), formats)
    query = PhotoQuery(opened, chosen, overrides, preset, device, offline)
    return run_over(query, inputs, Path(out), formats, overwrite=overwrite)


def run_over(
    query: PhotoQuery,
    inputs: Sequence[InputImage],
    out: Path,
    formats: Sequence[str],
    *,
    overwrite: bool = False,
    on_photo: Callable[[int, int], None] = lambda done, total: None,
    on_failure: Callable[[str], None] = lambda error: None,
) -> FolderResult:
    """Label photos into a folder that keeps what is done.

    Args:
        inputs: checked by `query.exports.inputs.check_outputs`.
        on_photo: called after each photo that was not done before, with the number of all that are
            done, or have failed, and of all.
        on_failure: called with the error of a photo that cannot be read.

    Raises as `query_folder` does; WriteFailed if the disk does not take the results.
    """
    from query.exports.run_folder import has_run, query_run

    identity = query.identity()
    if overwrite or not has_run(out):
        _ = query.engine  # what it refuses is refused before anything is changed
    done: dict[str, PhotoDone] = {}
    failed: list[PhotoFailed] = []
    with query_run(out, identity, formats, overwrite=overwrite) as run:
        for item in inputs:
            kept = run.earlier(item)
            if kept is not None and not run.missing(item, kept):
                done[item.name] = PhotoDone(
                    item.path, len(kept.regions), run.files(item, kept), reused=True
                )
        left = [item for item in inputs if item.name not in done]
        for item in left:
            try:
                done[item.name] = _label(query, run, item)
            except ImageError as error:
                failed.append(PhotoFailed(item.path, str(error)))
                on_failure(str(error))
            on_photo(len(done) + len(failed), len(inputs))
        labelled = [item for item in inputs if item.name in done]
        files = run.finish(inputs, labelled) if labelled else ()
        others = run.others(inputs)
    images = tuple(done[item.name] for item in labelled)
    return FolderResult(out, images, tuple(failed), files, others)


def single(query: PhotoQuery, image: InputImage, out: Path, formats: Sequence[str]) -> FolderResult:
    """Label one photo into a folder that keeps nothing but its files, whatever else is there."""
    try:
        result = query.segment(image.path)
    except ImageError as error:
        return FolderResult(out, (), (PhotoFailed(image.path, str(error)),))
    files = result.save(out, image.name, formats, photo=image.path)
    return FolderResult(out, (PhotoDone(image.path, len(result.regions), files, False),), ())


def _label(query: PhotoQuery, run: QueryRun, item: InputImage) -> PhotoDone:
    """The photo's results; only those that are missing, if it was labelled before."""
    from query.exports.stored_photo import PhotoMark

    kept = run.earlier(item)
    if kept is not None:
        result = _known_result(run, item, kept)
        if result is not None:
            files = run.complete(item, result, kept)
            return PhotoDone(item.path, len(kept.regions), files, reused=True)
    mark = PhotoMark.of(item.path)
    result = query.segment(item.path)
    if mark is None:  # it has come, or become readable, since
        raise ImageError(f"{item.path}: it was changed while it was read; query it again")
    return PhotoDone(item.path, len(result.regions), run.add(item, result, mark), reused=False)


def _known_result(run: QueryRun, item: InputImage, stored: StoredPhoto) -> LabelledPhoto | None:
    """The stored result, with the photo's pixels; None if they do not go together."""
    from foundation.images.reading import read_image

    image = read_image(item.path)
    try:
        return stored.result(image, run.names, run.identity.bank_version)
    except ImageError:
        return None
