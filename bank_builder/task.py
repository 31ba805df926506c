"""What a build is to do, and doing it: shards made, a version committed, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bank_builder.commit import check_same_models, commit_version
from bank_builder.output_folder import Existing, clear_bank
from bank_builder.plan import new_records
from bank_builder.progress import Progress, Tally
from bank_builder.report import BuildReport, describe_bank
from bank_builder.shard_work import work_shards
from bank_builder.sources.base import SourceImages
from bank_builder.work_list import WorkList, list_work, shard_statuses
from foundation.interfaces import BuildStack
from schemas.errors import BuildFailed
from schemas.records import ShardRecord
from schemas.settings import Settings
from schemas.store.bank import StoredBank
from schemas.store.lock import build_lock
from schemas.store.parquet import read_table
from schemas.store.progress_file import BuildPlan, remove_plan, write_plan
from schemas.store.shards import remove_unfinished, shard_folder, write_sidecar
from schemas.tables import ReferenceRow


@dataclass(frozen=True)
class Task:
    """What to build and where, what is there, and what follows from the two.

    only_new: whether nothing is made of the categories that the bank has.
    """

    out: Path
    settings: Settings
    existing: Existing
    plan: BuildPlan
    pictures: SourceImages
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


def carry_out(
    settle: Callable[[bool], Task],
    stack: BuildStack,
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
    tally = Tally(progress)
    if overwrite:  # of what is there nothing will be left
        tally.begin(sum(task.pictures.count(one) for one in task.plan.vocabulary), ())
    else:
        _count(tally, out, task.work())
    tally.tell("weights")
    models = stack.fingerprints(task.pictures.roles)
    check_same_models(task.existing, models)
    stack.load(task.pictures.roles, lambda role: tally.tell("loading", role=role))
    if stack.device.type != "cpu":  # on a CPU nothing is tried
        tally.tell("trial")
    size = task.pictures.batch_size(stack)  # what does not fit is refused before anything changes
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
            _count(tally, out, work)
            made = _make(task, work, stack, size, tally)
        if task.nothing_to_do():  # also where shards that were damaged have their old bytes again
            remove_plan(out)
            return _unchanged(task)
        tally.tell("index")
        commit_version(
            out, task.plan, task.existing.manifest, made, models, task.settings.reference
        )
        _end_plan(task)
        return describe_bank(StoredBank(out), changed=True, reused_shards=len(work.finished))


def _make(
    task: Task, work: WorkList, stack: BuildStack, size: int, tally: Tally
) -> list[ShardRecord]:
    """Makes the shards that are missing; BuildFailed if in all shards not one image is there."""
    manifest = task.existing.manifest

    def on_batch(rows: Sequence[ReferenceRow]) -> None:
        tally.add(row.status for row in rows)
        tally.tell("references", rows[0].category)

    shards = work_shards(
        task.out,
        work.to_do,
        task.pictures,
        stack,
        task.settings,
        size,
        on_batch,
        tally.take_back,
        tally.tell,
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


def _count(tally: Tally, out: Path, work: WorkList) -> None:
    """Has the tally begin with the images of finished shards."""
    statuses = (status for record in work.finished for status in shard_statuses(out, record))
    tally.begin(work.images, statuses)


def _in_old_place(
    out: Path, shard: ShardRecord, committed: Mapping[str, ShardRecord]
) -> ShardRecord:
    """The bank's own record of a shard that was made anew with the same bytes."""
    earlier = committed.get(shard.name)
    if earlier is None or earlier.files != shard.files:
        return shard
    write_sidecar(shard_folder(out, shard), earlier)
    return earlier


def _end_plan(task: Task) -> None:
    """Deletes the plan that was carried out, or puts back an interrupted one of other categories:
    what that has finished is still wanted.
    """
    earlier = task.existing.unfinished
    names = {record.name for record in task.plan.vocabulary if not record.removed}
    if earlier is not None and any(one.name not in names for one in earlier.vocabulary):
        write_plan(task.out, earlier)
    else:
        remove_plan(task.out)


def _unchanged(task: Task) -> BuildReport:
    """The report on a bank that is as it should be."""
    unfinished = task.existing.unfinished
    if unfinished is not None and unfinished.vocabulary == task.plan.vocabulary:
        remove_plan(task.out)  # the build was stopped between its last two steps
    bank = StoredBank(task.out)
    return describe_bank(bank, changed=False, reused_shards=len(bank.shards))
