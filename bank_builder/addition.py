"""Adding categories to a finished bank, by its own settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bank_builder.output_folder import read_existing
from bank_builder.plan import bank_settings, grown_vocabulary, settle_plan
from bank_builder.progress import Progress
from bank_builder.report import BuildReport
from bank_builder.sources.base import Source
from bank_builder.sources.diffusion import GENERATED
from bank_builder.task import Task, carry_out
from foundation.interfaces import BuildStack
from schemas.errors import UsageError
from schemas.ids import DIFFUSION
from schemas.store.manifest import read_manifest
from schemas.vocabulary import Vocabulary


def add_categories(
    names: Sequence[str],
    out: Path,
    stack: BuildStack,
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
    return carry_out(lambda _: _settle_addition(names, out, source)[0], stack, progress, False)


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


def _settle_addition(names: Sequence[str], out: Path, source: Source) -> tuple[Task, Vocabulary]:
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
    return Task(out, settings, existing, plan, pictures, True, only_new=True), vocabulary
