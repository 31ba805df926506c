"""The bank that a session changes: its newest version, what is on trial, what was rejected."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rim.app.references import ReferenceCard, image_cards, reference_cards
from rim.app.state import BankFacts
from rim.app.trial import JoinedBank, Trial, build_trial, own_place
from rim.bank import Bank
from rim.changes import accept, add, reject
from schemas.errors import UsageError
from schemas.ids import DIFFUSION, FOREGROUND, pack_image_id, unpack_image_id
from schemas.vocabulary import name_key

if TYPE_CHECKING:
    from bank_builder.report import BuildProgress
    from query.result import NearReference

Progress = Callable[["BuildProgress"], None]


@dataclass(frozen=True)
class Models:
    """Where the bank's models are found and run; as of `rim.query`."""

    preset: str | None
    device: str
    offline: bool


@dataclass(frozen=True)
class _Rejected:
    """was_accepted: whether a person had accepted it before."""

    image_id: int
    was_accepted: bool


class BankInHand:
    """A bank, changed by a person; no two changes at once.

    Attributes:
        asked: what photos are labelled with: the bank, and the categories on trial if there are.
    """

    def __init__(self, bank: Bank, models: Models, folder: Path) -> None:
        """
        Args:
            bank: the latest version.
            models: for categories that are built.
            folder: where categories on trial are.
        """
        self._bank = bank
        self._models = models
        self._folder = folder
        self._trials: tuple[Trial, ...] = ()
        self._rejected: tuple[_Rejected, ...] = ()
        self.asked: Bank = bank

    @property
    def trials(self) -> tuple[str, ...]:
        """The names of the categories on trial."""
        return tuple(trial.name for trial in self._trials)

    def facts(self) -> BankFacts:
        """The bank as it is now, with the categories on trial."""
        return BankFacts(
            path=str(self._bank.path),
            version=self._bank.version,
            preset=self._bank.settings.preset,
            categories=tuple(record.name for record in self.asked.categories),
            references=int(np.count_nonzero(self.asked.features().role == FOREGROUND)),
            images_per_category=self._bank.manifest.images_per_category,
        )

    def cards(self, references: tuple[NearReference, ...]) -> tuple[ReferenceCard, ...]:
        """The cards of references, in their order."""
        return reference_cards(self._bank, self._trials, references)

    def rejected(self) -> tuple[ReferenceCard, ...]:
        """The cards of what was rejected here, the latest first."""
        return image_cards(self._bank, self._trials, (one.image_id for one in self._rejected))

    def reject(self, image_id: int) -> None:
        """Rejects a reference, where it is: in the bank, or on trial; raises as `rim.reject`."""
        home, own_id = own_place(self._bank, self._trials, image_id)
        before = [one for one in home.verdicts if one.image_id == own_id]
        accepted = any(one.by == "person" and one.status == "accepted" for one in before)
        self._replace(home, reject(home, [own_id]))
        others = tuple(one for one in self._rejected if one.image_id != image_id)
        self._rejected = (_Rejected(image_id, accepted), *others)

    def undo(self, image_id: int) -> None:
        """Takes a rejection of this session back; a person's earlier verdict counts again."""
        found = [one for one in self._rejected if one.image_id == image_id]
        if not found:
            raise UsageError(f"image {image_id} was not rejected here; nothing was changed")
        home, own_id = own_place(self._bank, self._trials, image_id)
        if found[0].was_accepted:
            self._replace(home, accept(home, [own_id]))
        else:
            self._replace(home, reject(home, [own_id], undo=True))
        self._rejected = tuple(one for one in self._rejected if one.image_id != image_id)

    def attempt(self, entry: str, images: int, progress: Progress | None) -> str:
        """Builds a category from a few images, beside the bank; its name.

        Raises as `rim.app.trial.build_trial`.
        """
        folder = Path(tempfile.mkdtemp(prefix="trial-", dir=self._folder))
        trial = build_trial(
            self._bank,
            self._trials,
            entry,
            images,
            folder / "bank",
            preset=self._models.preset,
            device=self._models.device,
            offline=self._models.offline,
            progress=progress,
        )
        self._set(self._bank, (*self._trials, trial))
        return trial.name

    def add(self, entry: str, progress: Progress | None) -> str:
        """Adds a category ("name, synonym") to the bank for good; its name. A name that is on trial
        is kept. Raises as `rim.add`.
        """
        keys = {name_key(trial.name): trial.name for trial in self._trials}
        on_trial = keys.get(name_key(entry.partition(",")[0]))
        if on_trial is not None:
            self.keep(on_trial, progress)
            return on_trial
        grown = self._grown(entry, progress)
        self._set(grown, self._trials)
        return next(one.name for one in grown.categories if one.category_id == self._newest(grown))

    def keep(self, name: str, progress: Progress | None) -> None:
        """Adds a category on trial to the bank for good.

        Its first images are those that were tried, so what was rejected of them is rejected in the
        bank too. Raises as `rim.add`.
        """
        trial = self._trial(name)
        record = trial.bank.categories[0]
        grown = self._grown(", ".join((record.name, *record.synonyms)), progress)
        category_id = self._newest(grown)
        kept: dict[int, int] = {}
        for one in self._rejected:
            key = unpack_image_id(one.image_id)
            if key.category_id == trial.category_id:
                kept[one.image_id] = pack_image_id(category_id, DIFFUSION, key.number)
        self._rejected = tuple(
            replace(one, image_id=kept.get(one.image_id, one.image_id)) for one in self._rejected
        )
        self._set(
            reject(grown, kept.values()) if kept else grown,
            tuple(one for one in self._trials if one is not trial),
        )

    def drop(self, name: str) -> None:
        """Forgets a category on trial, and what was rejected of it."""
        trial = self._trial(name)
        self._rejected = tuple(
            one
            for one in self._rejected
            if unpack_image_id(one.image_id).category_id != trial.category_id
        )
        self._set(self._bank, tuple(one for one in self._trials if one is not trial))

    def _grown(self, entry: str, progress: Progress | None) -> Bank:
        return add(
            self._bank,
            [entry],
            preset=self._models.preset,
            device=self._models.device,
            offline=self._models.offline,
            progress=progress,
        )

    @staticmethod
    def _newest(bank: Bank) -> int:
        """The category that was added last: ids are given in ascending order."""
        return max(record.category_id for record in bank.categories)

    def _trial(self, name: str) -> Trial:
        for trial in self._trials:
            if trial.name == name:
                return trial
        raise UsageError(f"no category {name!r} is on trial")

    def _replace(self, old: Bank, new: Bank) -> None:
        """Has a new version of the bank, or of one on trial."""
        trials = (replace(one, bank=new) if one.bank is old else one for one in self._trials)
        self._set(new if old is self._bank else self._bank, tuple(trials))

    def _set(self, bank: Bank, trials: tuple[Trial, ...]) -> None:
        self._bank, self._trials = bank, trials
        self.asked = JoinedBank(bank, trials) if trials else bank
