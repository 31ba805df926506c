"""The functions of `import rim` that make a new version of a bank: add, remove, reject, accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bank_builder.removal import remove_categories
from bank_builder.review import give_verdicts, take_back_verdicts
from rim.arguments import build_purposes, choose_source, log_warnings
from rim.bank import Bank
from schemas.errors import UsageError

if TYPE_CHECKING:
    from bank_builder.report import BuildProgress


def add(
    bank: Bank | str | Path,
    names: Iterable[str],
    *,
    source: str = "diffusion",
    preset: str | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Callable[[BuildProgress], None] | None = None,
) -> Bank:
    """Adds categories to a finished bank by its own settings, and opens its new version.

        bank = rim.add(bank, ["boat", "mushroom, toadstool"])
        bank.build_report.images

    All that is there stays as it is; the result equals a bank that was built with all the
    categories at once. An addition that was interrupted goes on from its finished shards. What is
    dropped from the vocabulary is logged as a warning.

    Args:
        bank: an open bank or its folder; the latest version in the folder is added to.
        names: "name, synonym, synonym" each.
        source: "diffusion", generated images, or "folder:DIR", your own photos of the new
            categories: DIR/CATEGORY/NAME.jpg and perhaps DIR/CATEGORY/NAME.mask.png.
        preset: where to find the bank's models, by default where its settings say.
        device: "auto", "cpu", "cuda", ...
        offline: use only weights that are on this machine.
        progress: called with what is done so far of the new categories.

    Raises VocabularyError for a name that the bank has or that is none, UsageError for a category
    of which the source has no images, BankError, BankDamaged, ModelError or OutputError, all before
    anything is changed, and BuildFailed or WriteFailed if the work cannot go on.
    """
    images = choose_source(source)
    opened = _latest(bank)
    given = names if isinstance(names, str) else tuple(names)
    from bank_builder.build import prepare_addition

    # Before the model libraries, which take seconds to import.
    prepared = prepare_addition(given, opened.path, source=images)
    log_warnings(prepared.plan.vocabulary)
    stored = opened.query_settings(preset, ())
    models = opened.model_stack(stored, device, offline, build_purposes(images), preset)
    report = prepared.run(models, progress)
    grown = _latest(opened)
    grown.build_report = report
    return grown


def remove(bank: Bank | str | Path, names: Iterable[str]) -> Bank:
    """Takes categories out of a bank, and opens its new version; needs no models.

        bank = rim.remove(bank, ["boat"])

    Their ids are not given to other categories, and older versions still have them. The result
    equals a bank that was built without them, but for the ids.

    Args:
        bank: an open bank or its folder; the latest version in the folder is changed.
        names: of categories.

    Raises UsageError for a name that the bank does not have, a synonym, and all the bank has;
    BankError, BankDamaged, OutputError or WriteFailed.
    """
    opened = _latest(bank)
    remove_categories(opened.path, names)
    return _latest(opened)


def reject(
    bank: Bank | str | Path,
    image_ids: Iterable[int],
    *,
    reason: str | None = None,
    undo: bool = False,
) -> Bank:
    """Rejects reference images by hand, and opens the bank's new version; needs no models.

        worst = bank.sql("SELECT image_id FROM images ORDER BY sam_score LIMIT 3").fetchall()
        bank = rim.reject(bank, [image_id for (image_id,) in worst], reason="blurred")

    A review stands above the automatic one and outlives later builds. If the bank says
    the same already there is no new version.

    Args:
        bank: an open bank or its folder; the latest version in the folder is changed.
        image_ids: as `SELECT image_id FROM images` gives them.
        reason: one line of text; by default "rejected by a person".
        undo: take such reviews back: the automatic verdicts count again.

    Raises UsageError, with nothing changed, for an image that is not in the bank or that failed,
    for a reason that is no line of text, and, with `undo`, for an image that a user accepted;
    BankError, BankDamaged, OutputError or WriteFailed.
    """
    if undo and reason is not None:
        raise UsageError("taking a verdict back needs no reason; leave it out")
    opened = _latest(bank)
    if undo:
        take_back_verdicts(opened.path, image_ids, "rejected")
    else:
        give_verdicts(opened.path, image_ids, "rejected", reason)
    return _latest(opened)


def accept(bank: Bank | str | Path, image_ids: Iterable[int], *, undo: bool = False) -> Bank:
    """Accepts reference images by hand, and opens the bank's new version; needs no models.

        bank = rim.accept(bank, [16777219])

    Args:
        bank, image_ids, undo: as of `reject`.

    Raises as `reject` does, and UsageError for an image without a feature of its category, such as
    one without a mask.
    """
    opened = _latest(bank)
    if undo:
        take_back_verdicts(opened.path, image_ids, "accepted")
    else:
        give_verdicts(opened.path, image_ids, "accepted")
    return _latest(opened)


def _latest(bank: Bank | str | Path) -> Bank:
    """The latest version of a bank, with the models that were loaded for an open one."""
    if not isinstance(bank, Bank):
        return Bank(bank)
    latest = Bank(bank.path)
    latest.share_models(bank)
    return latest
