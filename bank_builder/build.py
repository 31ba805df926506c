"""Builds a bank: vocabulary -> plan -> shards -> index -> commit; the stage's table of contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bank_builder.commit import check_same_models, commit_version
from bank_builder.output_folder import Existing, check_output, clear_bank, read_existing
from bank_builder.plan import Plan, plan_addition, plan_build
from bank_builder.report import BuildReport, ImageCounter, Progress, describe_bank
from bank_builder.shard_work import make_shards
from bank_builder.sources.base import Source
from bank_builder.sources.diffusion import GENERATED
from bank_builder.work_list import shard_statuses
from foundation.interfaces import BuildStack
from schemas.errors import BuildFailed
from schemas.records import ShardRecord
from schemas.settings import Settings
from schemas.store.bank import StoredBank
from schemas.store.lock import build_lock
from schemas.store.manifests import remove_plan, write_plan
from schemas.store.parquet import read_table
from schemas.store.shards import remove_unfinished, shard_folder, write_sidecar
from schemas.tables import ReferenceRow
from schemas.vocabulary import Vocabulary


@dataclass(frozen=True)
class PreparedBuild:
    """A build that was planned and not refused; until it runs, nothing is changed.

    Planning needs no model library, so that a wrong call is refused at once:

        prepared = prepare_build(vocabulary, out, settings)
        report = prepared.run(ModelStack(settings))

    Attributes:
        plan: what is to be made.
        plan_again: the same for what is in the folder later.
        overwrite: whether the bank in the folder is deleted first.
    """

    plan: Plan
    plan_again: Callable[[Existing], Plan]
    overwrite: bool = False

    @property
    def image_count(self) -> int:
        """Number of images of the whole bank, those of another source included."""
        plan, manifest = self.plan, self.plan.existing.manifest
        shards = manifest.shards if manifest else ()
        others = [one for one in shards if one.source != plan.images.source]
        return plan.work.images + sum(shard.stop - shard.start for shard in others)

    @property
    def images_to_make(self) -> int:
        """Number of images that are not there yet."""
        return self.plan.work.images_to_do

    def run(self, models: BuildStack, progress: Progress | None = None) -> BuildReport:
        """Makes what is missing and publishes the new version.

        Finished shards are never made again, so an interrupt loses one shard at most. Nothing is
        published before every image is there; then the new version appears in one step. If the
        bank holds everything already it stays as it is, and the models are not touched; they are
        not loaded if all images are there and only the version is missing.

        Args:
            models: those that the settings name.
            progress: called after every batch.

        Raises:
            ModelError: weights that are missing, or not those that made the bank.
            OutputError: another process is building into the folder.
            BankDamaged: a manifest or shard that is not what was written.
            BuildFailed: not one image could be made.
        """
        plan, counter = self.plan, ImageCounter(progress)
        out = plan.out
        if plan.is_done:
            return _unchanged(plan)
        _count_finished(counter, plan)
        counter.tell("weights")
        records = models.fingerprints(plan.images.roles)
        check_same_models(plan.existing, records)
        batch_size = _load(plan, models, counter)
        with build_lock(out):
            if self.overwrite:
                clear_bank(out)
            # Another process may have built here between the first look and the lock.
            existing = read_existing(out)
            if existing != plan.existing:
                plan = self.plan_again(existing)
            if plan.is_done:
                return _unchanged(plan)
            check_same_models(existing, records)
            remove_unfinished(out)
            fingerprints = {role: record.fingerprint for role, record in records.items()}
            write_plan(out, plan.stored.model_copy(update={"fingerprints": fingerprints}))
            _count_finished(counter, plan)
            batch_size = batch_size or _load(plan, models, counter)
            shards = _make(plan, models, batch_size, counter)
            if plan.is_committed(shards):  # shards that were damaged have their old bytes again
                _remove_stored(plan)
                return _unchanged(plan)
            counter.tell("index")
            manifest, reference = existing.manifest, plan.settings.reference
            commit_version(out, plan.stored, manifest, shards, records, reference)
            _remove_stored(plan)
            reused = len(plan.work.finished)
            return describe_bank(StoredBank(out), changed=True, reused_shards=reused)


def prepare_build(
    vocabulary: Vocabulary,
    out: Path,
    settings: Settings,
    *,
    source: Source = GENERATED,
    overwrite: bool = False,
    retry_failed: bool = False,
) -> PreparedBuild:
    """Plans a new bank, the rest of an interrupted build, or more images and categories of a bank.

    Args:
        vocabulary: all categories of the bank, those that it has already included.
        out: the bank's folder; the build makes it if it is missing.
        settings: of the whole build; on an existing bank only `images_per_category` may differ, and
            only upwards. How photos are matched later (`proposals`, `matching`) is not compared,
            nor how images are generated if the source, or the bank until now, has none.
        source: where the images come from; those that the bank has from another source stay.
        overwrite: delete the bank that is in `out` first.
        retry_failed: make the shards again in which an image failed.

    Raises:
        UsageError: a category of which the source has no images.
        OutputError: a folder that is no bank's.
        BankError: the bank differs in more than what may be added; every difference is named.
        BankDamaged: a manifest or shard that is not what was written.
    """
    check_output(out)

    def plan(existing: Existing) -> Plan:
        return plan_build(vocabulary, settings, source, existing, retry_failed=retry_failed)

    existing = Existing(out) if overwrite else read_existing(out)
    return PreparedBuild(plan(existing), plan, overwrite)


def prepare_addition(
    names: Sequence[str], out: Path, *, source: Source = GENERATED
) -> PreparedBuild:
    """Plans categories that are added to a finished bank; all other shards stay as they are.

    The new version equals a bank that was built with all the categories at once. What is dropped
    from the vocabulary is told by `.plan.vocabulary.warnings`.

    Args:
        names: "name, synonym, synonym" each.
        out: the bank's folder.
        source: where the images of the new categories come from.

    Raises as `plan_addition`.
    """

    def plan(existing: Existing) -> Plan:
        return plan_addition(names, source, existing)

    return PreparedBuild(plan(read_existing(out)), plan)


def build_bank(
    vocabulary: Vocabulary,
    out: Path,
    settings: Settings,
    models: BuildStack,
    *,
    source: Source = GENERATED,
    progress: Progress | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
) -> BuildReport:
    """Plans a build and carries it out with the given models.

    Arguments and errors are those of `prepare_build` and `PreparedBuild.run`.
    """
    prepared = prepare_build(
        vocabulary, out, settings, source=source, overwrite=overwrite, retry_failed=retry_failed
    )
    return prepared.run(models, progress)


def _load(plan: Plan, models: BuildStack, counter: ImageCounter) -> int:
    """Loads the models that the plan's images need; returns the batch size, 0 if none is to make.

    What does not fit into the device's memory is refused here, before anything changes.
    """
    if not plan.work.to_do:
        return 0
    models.load(plan.images.roles, lambda role: counter.tell("loading", role=role))
    if models.device.type != "cpu":  # on a CPU nothing is tried
        counter.tell("trial")
    return plan.images.batch_size(models)


def _make(
    plan: Plan, models: BuildStack, batch_size: int, counter: ImageCounter
) -> list[ShardRecord]:
    """Makes the missing shards; returns all of the plan. BuildFailed if all images failed."""
    manifest = plan.existing.manifest

    def on_batch(rows: Sequence[ReferenceRow]) -> None:
        counter.add(row.status for row in rows)
        counter.tell("references", rows[0].category)

    made = make_shards(
        plan.out,
        plan.work.to_do,
        plan.images,
        models,
        plan.settings,
        batch_size,
        on_batch,
        counter.take_back,
        counter.tell,
    )
    committed = {shard.name: shard for shard in manifest.shards} if manifest else {}
    shards = [
        *plan.work.finished,
        *(_as_committed(plan.out, shard, committed) for shard in made),
    ]
    if counter.all_failed:
        path = shard_folder(plan.out, shards[0]) / shards[0].images.name
        again = "add them again" if plan.only_new else "build again with --retry-failed"
        raise BuildFailed(
            f"{plan.out}: all {plan.work.images} images failed, the first one: "
            f"{read_table(path, ['reason'])['reason'][0]}; when the cause is repaired, {again}"
        )
    return shards


def _count_finished(counter: ImageCounter, plan: Plan) -> None:
    """Starts the counter with the images of finished shards."""
    finished = plan.work.finished
    statuses = (status for record in finished for status in shard_statuses(plan.out, record))
    counter.begin(plan.work.images, statuses)


def _as_committed(
    out: Path, shard: ShardRecord, committed: Mapping[str, ShardRecord]
) -> ShardRecord:
    """The bank's own record of a shard that was made again with the same bytes."""
    earlier = committed.get(shard.name)
    if earlier is None or earlier.files != shard.files:
        return shard
    write_sidecar(shard_folder(out, shard), earlier)
    return earlier


def _remove_stored(plan: Plan) -> None:
    """Deletes the plan that was carried out, or puts back an interrupted one of other categories:
    its finished shards are still wanted.
    """
    earlier = plan.existing.unfinished
    names = {record.name for record in plan.stored.vocabulary if not record.removed}
    if earlier is not None and any(one.name not in names for one in earlier.vocabulary):
        write_plan(plan.out, earlier)
    else:
        remove_plan(plan.out)


def _unchanged(plan: Plan) -> BuildReport:
    """Reports on a bank that has all that is planned."""
    unfinished = plan.existing.unfinished
    if unfinished is not None and unfinished.vocabulary == plan.stored.vocabulary:
        remove_plan(plan.out)  # the build was stopped between its last two steps
    bank = StoredBank(plan.out)
    return describe_bank(bank, changed=False, reused_shards=len(bank.shards))
