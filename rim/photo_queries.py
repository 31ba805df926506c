"""`rim.query_folder`: labels many photos into a folder that holds what is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.images.reading import read_image
from query.exports.formats import check_category_ids, of_a_run
from query.exports.inputs import InputImage, check_outputs, collect_inputs
from query.exports.run_folder import QueryRun, has_run, query_run
from query.exports.run_identity import RunIdentity
from query.exports.stored_photo import PhotoMark, StoredPhoto
from rim.arguments import category_ids, query_overrides
from rim.bank import Bank
from schemas.errors import ImageError

if TYPE_CHECKING:
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
class _PhotoQuery:
    """How photos are labelled; the fields are the arguments of `rim.query`.

    on_stage: called with what is done before the first photo, such as "loading segmenter".
    """

    bank: Bank
    categories: Collection[int] | None
    overrides: tuple[str, ...]
    preset: str | None
    device: str
    offline: bool
    on_stage: Callable[[str], None]

    @cached_property
    def engine(self) -> QueryEngine:
        """The engine, its models checked against the bank; only photos to label need them."""
        return self.bank.engine(
            overrides=self.overrides, preset=self.preset, device=self.device, offline=self.offline
        )

    @cached_property
    def _loaded(self) -> QueryEngine:
        """The engine, its models loaded."""
        engine = self.engine
        engine.load(lambda role: self.on_stage(f"loading {role}"))
        self.on_stage("first photo")
        return engine

    def segment(self, photo: Path) -> Segmentation:
        """Labels a photo; ImageError if it cannot be read, and then no model is loaded for it."""
        if "_loaded" not in vars(self):
            read_image(photo)
        return self._loaded.segment(photo, categories=self.categories)

    def identity(self) -> RunIdentity:
        """Returns what determines the results beside the photos."""
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
    resumable: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
    on_stage: Callable[[str], None] = lambda words: None,
    on_failure: Callable[[PhotoFailed], None] = lambda failure: None,
) -> FolderResult:
    """Labels many photos into a folder, as `rim query BANK IMAGES --out OUT` does.

        result = rim.query_folder(bank, "photos", "labels", formats=["labels", "coco"])
        [(done.image.name, done.regions) for done in result.images], result.failed

    Photos that an earlier call with the same bank and settings has labelled are not labelled again
    unless they have changed; an interrupted call goes on. `OUT/regions.parquet` has the regions of
    all photos. A photo that cannot be read is among `failed`, and the others are done.

    Args:
        images: files and folders.
        formats: out of "labels", "overlay", "json", "palette", "labelme", "coco", "dataset" and
            "regions"; formats that the folder has already are kept up to date.
        overwrite: delete the results of other settings that are in `out`.
        resumable: if False, one photo alone leaves nothing but its own files in `out`, beside
            whatever else is there; several photos, or a format of all photos, are always resumed.
        progress: called after each photo that was not done before, with the number of all that are
            done, or have failed, and of all.
        on_stage: called with what is done before the first photo, such as "loading segmenter".
        on_failure: called with each photo that cannot be read.

    The other arguments are those of `rim.query`.

    Raises UsageError if there is no photo, or two would have results of one name; OutputError if
    `out` holds results of another bank or other settings, naming the first difference; WriteFailed
    if the disk does not take the results; and what `rim.query` raises, except ImageError.
    """
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
    folder = Path(out)
    check_outputs(inputs, folder, formats)
    check_category_ids(formats, [record.category_id for record in opened.categories])
    query = _PhotoQuery(opened, chosen, overrides, preset, device, offline, on_stage)
    if not resumable and len(inputs) == 1 and not of_a_run(formats):
        result = _label_alone(query, inputs[0], folder, formats)
        progress(1, 1)
        for failure in result.failed:
            on_failure(failure)
        return result
    return _label_all(query, inputs, folder, formats, overwrite, progress, on_failure)


def _label_all(
    query: _PhotoQuery,
    inputs: Sequence[InputImage],
    out: Path,
    formats: Sequence[str],
    overwrite: bool,
    progress: Callable[[int, int], None],
    on_failure: Callable[[PhotoFailed], None],
) -> FolderResult:
    """Labels photos into a folder that holds what is done."""
    identity = query.identity()
    if overwrite or not has_run(out):
        _ = query.engine  # what it refuses is refused before anything is changed
    done: dict[str, PhotoDone] = {}
    failed: list[PhotoFailed] = []
    with query_run(out, identity, formats, overwrite=overwrite) as run:
        for item in inputs:
            stored = run.earlier(item)
            if stored is not None and not run.missing(item, stored):
                done[item.name] = PhotoDone(
                    item.path, len(stored.regions), run.files(item, stored), reused=True
                )
        left = [item for item in inputs if item.name not in done]
        for item in left:
            try:
                done[item.name] = _label(query, run, item)
            except ImageError as error:
                failed.append(PhotoFailed(item.path, str(error)))
                on_failure(failed[-1])
            progress(len(done) + len(failed), len(inputs))
        labelled = [item for item in inputs if item.name in done]
        files = run.finish(inputs, labelled) if labelled else ()
        others = run.others(inputs)
    images = tuple(done[item.name] for item in labelled)
    return FolderResult(out, images, tuple(failed), files, others)


def _label_alone(
    query: _PhotoQuery, image: InputImage, out: Path, formats: Sequence[str]
) -> FolderResult:
    """Labels one photo into a folder that gets nothing but its files, whatever else is there."""
    try:
        result = query.segment(image.path)
    except ImageError as error:
        return FolderResult(out, (), (PhotoFailed(image.path, str(error)),))
    files = result.save(out, image.name, formats, photo=image.path)
    return FolderResult(out, (PhotoDone(image.path, len(result.regions), files, False),), ())


def _label(query: _PhotoQuery, run: QueryRun, item: InputImage) -> PhotoDone:
    """Writes the photo's results; only those that are missing, if it was labelled before."""
    stored = run.earlier(item)
    if stored is not None:
        result = _known_result(run, item, stored)
        if result is not None:
            files = run.complete(item, result, stored)
            return PhotoDone(item.path, len(stored.regions), files, reused=True)
    mark = PhotoMark.of(item.path)
    result = query.segment(item.path)
    if mark is None:  # it has come, or become readable, since
        raise ImageError(f"{item.path}: it was changed while it was read; query it again")
    return PhotoDone(item.path, len(result.regions), run.add(item, result, mark), reused=False)


def _known_result(run: QueryRun, item: InputImage, stored: StoredPhoto) -> LabelledPhoto | None:
    """The stored result with the photo's pixels; None if they do not go together."""
    image = read_image(item.path)
    try:
        return stored.result(image, run.names, run.identity.bank_version)
    except ImageError:
        return None
