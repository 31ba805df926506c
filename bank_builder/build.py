"""Building a bank: vocabulary in, committed version out; or the rest of one, or nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bank_builder.commit import check_same_models, commit_version
from bank_builder.models import BuildModels, load_models
from bank_builder.output_folder import Existing, check_output, clear_bank, read_existing
from bank_builder.plan import bank_settings, grown_vocabulary, new_records, settle_plan
from bank_builder.progress import Progress, Tally
from bank_builder.report import BuildReport, describe_bank
from bank_builder.shard_work import work_shards
from bank_builder.sources.base import Pictures, Source
from bank_builder.sources.diffusion import GENERATED
from bank_builder.work_list import WorkList, list_work, shard_statuses
from schemas.bank import Bank
from schemas.errors import BuildFailed, UsageError
from schemas.ids import DIFFUSION
from schemas.manifest import read_manifest
from schemas.parquet import read_table
from schemas.progress_file import BuildPlan, build_lock, remove_plan, write_plan
from schemas.records import ShardRecord
from schemas.settings import Settings
from schemas.shards import remove_unfinished, shard_folder, write_sidecar
from schemas.tables import ReferenceRow
from schemas.vocabulary import Vocabulary


@dataclass(frozen=True)
class BuildPreview:
    """What a build would do: images of the whole bank, those that it would have to make, and where
    it would have them from.
    """

    images: int
    images_to_make: int
    pictures: Pictures


@dataclass(frozen=True)
class _Task:
    """What to build and where, what is there, and what follows from the two.

    only_new: whether nothing is made of the categories that the bank has.
    """

    out: Path
    settings: Settings
    existing: Existing
    plan: BuildPlan
    pictures: Pictures
    retry_failed: bool
    only_new: bool = False

    def work(self) -> WorkList:
        """The shards of the plan; reads those that an interrupted build left."""
        plan = self.plan
        if self.only_new:
            records = new_records(plan.vocabulary, self.existing.manifest)
            plan = plan.model_copy(update={"vocabulary": records})
        return list_work(
            self.out,
            plan,
            self.pictures,
            self.existing.manifest,
            self.settings.build.shard_images,
            self.retry_failed,
        )

    def nothing_to_do(self) -> bool:
        """Whether the bank's latest version is what the plan wants."""
        manifest, plan = self.existing.manifest, self.plan
        if manifest is None or (plan.vocabulary, plan.images_per_category) != (
            manifest.vocabulary,
            manifest.images_per_category,
        ):
            return False
        work = self.work()
        committed = {shard.name: shard for shard in manifest.shards}
        return not work.to_do and all(committed.get(shard.name) == shard for shard in work.finished)


def build_bank(
    vocabulary: Vocabulary,
    out: Path,
    settings: Settings,
    stack: BuildModels,
    *,
    source: Source = GENERATED,
    progress: Progress | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
) -> BuildReport:
    """Builds a bank, goes on with an interrupted build, or adds images and categories to a bank.

    Finished shards are never made again, so an interrupt loses one shard at most. Nothing is
    published before every image is there; then the new version appears in one step. If the bank
    holds everything already it stays as it is, and the models are not touched.

    Args:
        vocabulary: all categories of the bank, those that it has already included.
        out: the bank's folder; made if it is missing.
        settings: of the whole build; on an existing bank only `images_per_category` may differ, and
            only upwards. How photos are matched later (`proposals`, `matching`) is not compared,
            nor how images are generated if the source, or the bank until now, has none.
        stack: the models that the settings name.
        source: where the images come from; those that the bank has from another source stay.
        progress: called after every batch.
        overwrite: delete the bank that is in `out` first.
        retry_failed: make the shards anew in which an image failed.

    Raises:
        UsageError: a category of which the source has no images; OutputError: a folder that is no
            bank's, or another process that is building into it.
        BankError: the bank differs in more than what may be added; every difference is named.
        ModelError: weights that are missing, or not those that made the bank.
        BankDamaged: a manifest or shard that is not what was written.
        BuildFailed: not one image could be made.
    """
    check_output(out)

    def settle(overwrite: bool) -> _Task:
        return _settle(vocabulary, out, settings, source, overwrite, retry_failed)

    return _carry_out(settle, stack, progress, overwrite)


def add_categories(
    names: Sequence[str],
    out: Path,
    stack: BuildModels,
    *,
    source: Source = GENERATED,
    progress: Progress | None = None,
) -> BuildReport:
    """Adds categories to a finished bank, by its own settings; all other shards stay as they are.

    The new version equals a bank that was built with all the categories at once. Finished shards of
    an addition that was interrupted are taken; those in which an image failed are made anew.

    Args:
        names: "name, synonym, synonym" each.
        out: the bank's folder.
        stack: the bank's models.
        source: where the images of the new categories come from.
        progress: called after every batch, with what is made of the new categories.

    Raises as `check_addition`, and as `build_bank`.
    """
    return _carry_out(lambda _: _settle_addition(names, out, source)[0], stack, progress, False)


def check_addition(names: Sequence[str], out: Path, source: Source = GENERATED) -> Vocabulary:
    """Refuses what `add_categories` would refuse for all but its models, and returns the whole
    vocabulary, whose warnings say what would be dropped; loads no model library.

    Raises:
        VocabularyError: a name that the bank has, or that is none.
        UsageError: "background", a category of which the source has no images, or images to be
            generated for a bank of photos alone.
        BankError, BankDamaged: there is no bank that can be read.
    """
    return _settle_addition(names, out, source)[1]


def _carry_out(
    settle: Callable[[bool], _Task],
    stack: BuildModels,
    progress: Progress | None,
    overwrite: bool,
) -> BuildReport:
    """Makes what is missing and publishes the new version.

    settle: says what is to be done; called again under the lock, as another process may have built
    meanwhile. Its argument: whether to look away from the bank that is there.
    """
    task = settle(overwrite)
    out = task.out
    if not overwrite and task.nothing_to_do():
        return _unchanged(task)
    models = stack.fingerprints(task.pictures.roles)
    check_same_models(task.existing, models)
    load_models(stack, task.pictures.roles)
    with build_lock(out):
        if overwrite:
            clear_bank(out)
        # Another process may have built here between the first look and the lock.
        task = settle(False)
        if not task.nothing_to_do():
            check_same_models(task.existing, models)
            remove_unfinished(out)
            fingerprints = {role: record.fingerprint for role, record in models.items()}
            write_plan(out, task.plan.model_copy(update={"fingerprints": fingerprints}))
            work = task.work()
            tally = Tally(work.images, progress)
            made = _make(task, work, stack, tally)
        if task.nothing_to_do():  # also where shards that were damaged have their old bytes again
            remove_plan(out)
            return _unchanged(task)
        tally.tell("index")
        commit_version(
            out, task.plan, task.existing.manifest, made, models, task.settings.reference
        )
        _end_plan(task)
        return describe_bank(Bank(out), changed=True, reused_shards=len(work.finished))


def check_build(
    vocabulary: Vocabulary,
    out: Path,
    settings: Settings,
    source: Source = GENERATED,
    *,
    overwrite: bool = False,
) -> None:
    """Refuses what `build_bank` would refuse for all but its models; loads no model library."""
    check_output(out)
    _settle(vocabulary, out, settings, source, overwrite, retry_failed=False)


def preview_build(
    vocabulary: Vocabulary,
    out: Path,
    settings: Settings,
    *,
    source: Source = GENERATED,
    overwrite: bool = False,
    retry_failed: bool = False,
) -> BuildPreview:
    """What `build_bank` would do; changes nothing, and refuses what that would refuse."""
    check_output(out)
    task = _settle(vocabulary, out, settings, source, overwrite, retry_failed)
    work = task.work()
    manifest = task.existing.manifest
    others = [one for one in manifest.shards if one.source != source.name] if manifest else []
    images = work.images + sum(shard.stop - shard.start for shard in others)
    return BuildPreview(images, images if overwrite else work.images_to_do, task.pictures)


def _settle(
    vocabulary: Vocabulary,
    out: Path,
    settings: Settings,
    source: Source,
    overwrite: bool,
    retry_failed: bool,
) -> _Task:
    """Reads what is there and refuses what cannot be; writes nothing."""
    existing = Existing() if overwrite else read_existing(out)
    source.check(vocabulary, settings, existing)
    plan = settle_plan(vocabulary, settings, source, existing, out)
    return _Task(out, settings, existing, plan, source.pictures(plan, settings), retry_failed)


def _settle_addition(names: Sequence[str], out: Path, source: Source) -> tuple[_Task, Vocabulary]:
    """The same for categories that are added to a finished bank, and its whole vocabulary."""
    existing = read_existing(out)
    manifest = existing.manifest or read_manifest(out)
    vocabulary = grown_vocabulary(manifest, names)
    if source.generates and not any(shard.source == DIFFUSION for shard in manifest.shards):
        raise UsageError(
            f"{out}: all references of this bank are photos; add categories with photos of them: "
            "--source folder:DIR"
        )
    settings = bank_settings(manifest)
    generation = settings.generation.model_copy(
        update={"images_per_category": manifest.images_per_category}
    )
    settings = settings.model_copy(update={"generation": generation})
    source.check(vocabulary, settings, existing)
    plan = settle_plan(vocabulary, settings, source, existing, out, only_new=True)
    pictures = source.pictures(plan, settings)
    # Of what is not in the bank yet a failed image costs nothing but another try.
    return _Task(out, settings, existing, plan, pictures, True, only_new=True), vocabulary


def _make(task: _Task, work: WorkList, stack: BuildModels, tally: Tally) -> list[ShardRecord]:
    """Makes the shards that are missing; BuildFailed if in all shards not one image is there."""
    manifest = task.existing.manifest
    for record in work.finished:
        tally.add(shard_statuses(task.out, record))
    tally.tell("references")

    def on_batch(rows: Sequence[ReferenceRow]) -> None:
        tally.add(row.status for row in rows)
        tally.tell("references", rows[0].category)

    shards = work_shards(
        task.out, work.to_do, task.pictures, stack, task.settings, on_batch, tally.take_back
    )
    committed = {shard.name: shard for shard in manifest.shards} if manifest else {}
    made = [*work.finished, *(_in_old_place(task.out, shard, committed) for shard in shards)]
    if tally.all_failed:
        path = shard_folder(task.out, made[0]) / made[0].images.name
        again = "add them again" if task.only_new else "build again with --retry-failed"
        raise BuildFailed(
            f"{task.out}: all {work.images} images failed, the first one: "
            f"{read_table(path, ['reason'])['reason'][0]}; when the cause is mended, {again}"
        )
    return made


def _in_old_place(
    out: Path, shard: ShardRecord, committed: Mapping[str, ShardRecord]
) -> ShardRecord:
    """The bank's own record of a shard that was made anew with the same bytes."""
    earlier = committed.get(shard.name)
    if earlier is None or earlier.files != shard.files:
        return shard
    write_sidecar(shard_folder(out, shard), earlier)
    return earlier


def _end_plan(task: _Task) -> None:
    """Deletes the plan that was carried out, or puts back an interrupted one of other categories:
    what that has finished is still wanted.
    """
    earlier = task.existing.unfinished
    names = {record.name for record in task.plan.vocabulary if not record.removed}
    if earlier is not None and any(one.name not in names for one in earlier.vocabulary):
        write_plan(task.out, earlier)
    else:
        remove_plan(task.out)


def _unchanged(task: _Task) -> BuildReport:
    """The report on a bank that is as it should be."""
    unfinished = task.existing.unfinished
    if unfinished is not None and unfinished.vocabulary == task.plan.vocabulary:
        remove_plan(task.out)  # the build was stopped between its last two steps
    bank = Bank(task.out)
    return describe_bank(bank, changed=False, reused_shards=len(bank.shards))
