"""Categories on trial: built beside the bank from a few images, and asked as if they were in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rim.bank import Bank
from schemas.errors import BuildFailed, VocabularyError
from schemas.ids import DIFFUSION, FOREGROUND, pack_image_id, unpack_image_id
from schemas.records import CategoryRecord
from schemas.store.bank import BankFeatures
from schemas.vocabulary import name_key

if TYPE_CHECKING:
    from bank_builder.report import BuildProgress
    from schemas.store.prototypes import Prototypes

_APART = 1000
"""How far the ids of categories on trial are from the bank's: as many may be added meanwhile, and
they still fit into a 16-bit label map."""


@dataclass(frozen=True)
class Trial:
    """A category that is not in the bank.

    bank: a small bank of this category alone. category_id: the one that stands for it while it is
    asked beside the bank's own; no category of the bank has it.
    """

    name: str
    bank: Bank
    category_id: int

    @property
    def record(self) -> CategoryRecord:
        """The category under its id beside the bank's own."""
        return self.bank.categories[0].model_copy(update={"category_id": self.category_id})

    @property
    def shift(self) -> int:
        """What its image_ids are larger by than in its own bank; a feature_id's are twice that."""
        own = self.bank.categories[0].category_id
        first = (pack_image_id(one, DIFFUSION, 0) for one in (self.category_id, own))
        return next(first) - next(first)


class JoinedBank(Bank):
    """A version of a bank with categories on trial, for questions only.

    Nothing of it is on the disk: the features are put together in memory, where they take as much
    room as the bank's index, and the prototypes are derived from them. References are not compared
    across the two, as a build would do: that is decided when a category is kept.
    """

    def __init__(self, bank: Bank, trials: Sequence[Trial]) -> None:
        self._base = bank  # before the rest, which asks for the categories
        self._trials = tuple(trials)
        super().__init__(bank.path, bank.version)
        self.share_models(bank)

    @cached_property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The bank's own, and those on trial behind them."""
        return (*self._base.categories, *(trial.record for trial in self._trials))

    def features(self) -> BankFeatures:
        """All foregrounds, then all backgrounds, each ascending, as a bank has them."""
        return self._joined

    def prototypes(self) -> Prototypes | None:
        """None: they are derived from the features."""
        return None

    @cached_property
    def _joined(self) -> BankFeatures:
        parts = [(self._base.features(), 0)]
        parts += [(trial.bank.features(), trial.shift) for trial in self._trials]
        feature_id = np.concatenate([part.feature_id + 2 * shift for part, shift in parts])
        image_id = np.concatenate([part.image_id + shift for part, shift in parts])
        role = np.concatenate([part.role for part, _ in parts])
        category_id = np.concatenate(
            [self._base.features().category_id]
            + [
                np.full(len(trial.bank.features().category_id), trial.category_id, np.int32)
                for trial in self._trials
            ]
        )
        order = np.lexsort((feature_id, role != FOREGROUND))
        embeddings = np.concatenate([part.embeddings for part, _ in parts])[order]
        embeddings.setflags(write=False)
        return BankFeatures(
            embeddings, feature_id[order], image_id[order], category_id[order], role[order]
        )


def own_place(bank: Bank, trials: Iterable[Trial], image_id: int) -> tuple[Bank, int]:
    """The bank that an image lies in, and its image_id there; the first bank for what is none."""
    try:
        category_id = unpack_image_id(image_id).category_id
    except ValueError:
        return bank, image_id
    for trial in trials:
        if trial.category_id == category_id:
            return trial.bank, image_id - trial.shift
    return bank, image_id


def build_trial(
    bank: Bank,
    trials: Sequence[Trial],
    name: str,
    images: int,
    folder: Path,
    *,
    preset: str | None,
    device: str,
    offline: bool,
    progress: Callable[[BuildProgress], None] | None = None,
) -> Trial:
    """Build a category from a few images with a bank's models and settings, beside the bank.

    These are the first images that `rim.add` would make of it.

    Args:
        bank: stays as it is.
        trials: categories that are on trial already.
        name: "name, synonym, synonym".
        images: how many, at least one.
        folder: for the small bank; empty, or what an earlier attempt has left.
        preset, device, offline: as of `rim.query`.
        progress: called with what is done so far.

    Raises VocabularyError for a name that the bank has, that is on trial or that is none,
    UsageError for one that the bank's generator does not know, and BuildFailed if none of the
    images can serve as a reference.
    """
    from bank_builder.build import build_bank, prepare_addition
    from schemas.vocabulary import vocabulary_from_names

    prepare_addition([name], bank.path)
    vocabulary = vocabulary_from_names([name])
    title = vocabulary.names[0]
    if name_key(title) in {name_key(trial.name) for trial in trials}:
        raise VocabularyError(f"expected a name that is not on trial yet, found {title!r}")
    settings = bank.query_settings(preset, ())
    generation = settings.generation.model_copy(update={"images_per_category": images})
    settings = settings.model_copy(update={"generation": generation})
    models = bank.model_stack(bank.query_settings(preset, ()), device, offline)
    report = build_bank(vocabulary, folder, settings, models, progress=progress)
    built = Bank(folder)
    if title in report.categories_without_feature:
        given = built.images_table(["reason"])["reason"].to_pylist()
        reasons = sorted({reason for reason in given if reason})
        raise BuildFailed(
            f"none of the {images} images of {title!r} can be a reference ({'; '.join(reasons)}); "
            "try more images, or another name"
        )
    first = bank.manifest.next_category_id + _APART
    return Trial(title, built, max([first, *(trial.category_id + 1 for trial in trials)]))
