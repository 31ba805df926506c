"""Building a bank: vocabulary in, committed version out; or the rest of one, or nothing to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bank_builder.output_folder import Existing, check_output, read_existing
from bank_builder.plan import settle_plan
from bank_builder.progress import Progress
from bank_builder.report import BuildReport
from bank_builder.sources.base import Source, SourceImages
from bank_builder.sources.diffusion import GENERATED
from bank_builder.task import Task, carry_out
from foundation.interfaces import BuildStack
from schemas.settings import Settings
from schemas.vocabulary import Vocabulary


@dataclass(frozen=True)
class BuildPreview:
    """What a build would do: images of the whole bank, those that it would have to make, and where
    it would have them from.
    """

    images: int
    images_to_make: int
    pictures: SourceImages


def build_bank(
    vocabulary: Vocabulary,
    out: Path,
    settings: Settings,
    stack: BuildStack,
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

    def settle(overwrite: bool) -> Task:
        return _settle(vocabulary, out, settings, source, overwrite, retry_failed)

    return carry_out(settle, stack, progress, overwrite)


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
) -> Task:
    """Reads what is there and refuses what cannot be; writes nothing."""
    existing = Existing() if overwrite else read_existing(out)
    source.check(vocabulary, settings, existing)
    plan = settle_plan(vocabulary, settings, source, existing, out)
    return Task(out, settings, existing, plan, source.pictures(plan, settings), retry_failed)
