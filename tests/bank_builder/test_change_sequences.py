"""Any sequence of changes and interrupts ends in the bank that would have been built at once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bank_builder.build import build_bank
from bank_builder.removal import remove_categories
from bank_builder.review import give_verdicts, take_back_verdicts
from schemas.ids import DIFFUSION, pack_image_id
from schemas.store.bank import StoredBank
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.equal import assert_equal, shard_files
from tests.bank_builder.stand_in import (
    StandInPainter,
    StandInStack,
    add_categories,
    on_call,
    settings,
)

NAMES = ("ant", "bee", "carp", "dove", "eel", "fox", "gnu")
IMAGES = 7
SETTINGS = settings(images_per_category=IMAGES)


def stack(interrupt_at: int | None = None) -> StandInStack:
    """Models that paint some images in an odd colour, which are then outliers.

    interrupt_at: number of the image before which the work is interrupted.
    """
    painter = StandInPainter(odd=lambda seed: seed % 8 == 0)
    if interrupt_at is not None:
        painter.before = on_call(interrupt_at, KeyboardInterrupt())
    return StandInStack(painter)


@dataclass
class Model:
    """What a bank should hold. verdicts: by name and number; the reason, None if accepted."""

    out: Path
    names: list[str]
    verdicts: dict[tuple[str, int], str | None] = field(default_factory=dict)

    def add(self, rng: random.Random) -> None:
        new = [rng.choice([name for name in NAMES if name not in self.names])]
        self.names += new
        if rng.random() < 0.4:
            try:
                add_categories(new, self.out, stack(rng.randrange(IMAGES)))
            except KeyboardInterrupt:
                pass
            else:  # no image of that number was left to be made
                return
        add_categories(new, self.out, stack())

    def build_more_in_vain(self, rng: random.Random) -> None:
        new = [rng.choice([name for name in NAMES if name not in self.names])]
        grown = vocabulary_from_names([*new, *self.names])
        try:
            build_bank(grown, self.out, SETTINGS, stack(rng.randrange(IMAGES)))
        except KeyboardInterrupt:
            return
        self.names += new

    def remove(self, rng: random.Random) -> None:
        name = rng.choice(self.names)
        remove_categories(self.out, [name])
        self.names.remove(name)
        self.verdicts = {key: why for key, why in self.verdicts.items() if key[0] != name}

    def judge(self, rng: random.Random) -> None:
        keys = [(rng.choice(self.names), rng.randrange(IMAGES)) for _ in range(rng.randrange(1, 4))]
        ids = [self._image_id(*key) for key in keys]
        if rng.random() < 0.6:
            why = rng.choice(["blurred", "a drawing"])
            give_verdicts(self.out, ids, "rejected", why)
            self.verdicts |= dict.fromkeys(keys, why)
        else:
            give_verdicts(self.out, ids, "accepted")
            self.verdicts |= dict.fromkeys(keys, None)

    def take_back(self, rng: random.Random) -> None:
        key = rng.choice(sorted(self.verdicts))
        status = "accepted" if self.verdicts.pop(key) is None else "rejected"
        take_back_verdicts(self.out, [self._image_id(*key)], status)

    def at_once(self, out: Path) -> StoredBank:
        """The same bank, built and judged in one go."""
        build_bank(vocabulary_from_names(self.names), out, SETTINGS, stack())
        other = Model(out, self.names)
        for (name, number), why in self.verdicts.items():
            status = "accepted" if why is None else "rejected"
            give_verdicts(out, [other._image_id(name, number)], status, why)
        return StoredBank(out)

    def _image_id(self, name: str, number: int) -> int:
        (record,) = (one for one in StoredBank(self.out).categories if one.name == name)
        return pack_image_id(record.category_id, DIFFUSION, number)


def follow(seed: int, steps: int, folder: Path) -> None:
    """Makes random changes and compares what comes of them with a bank built at once."""
    rng = random.Random(seed)
    model = Model(folder / "bank", ["ant", "bee", "carp"])
    build_bank(vocabulary_from_names(model.names), model.out, SETTINGS, stack())
    names_by_id: dict[int, str] = {}
    for _ in range(steps):
        before = shard_files(model.out)
        choices = [model.judge, model.judge]
        choices += [model.add, model.build_more_in_vain] if len(model.names) < len(NAMES) else []
        choices += [model.remove] if len(model.names) > 1 else []
        choices += [model.take_back] if model.verdicts else []
        rng.choice(choices)(rng)
        assert before.items() <= shard_files(model.out).items()
        for record in StoredBank(model.out).manifest.vocabulary:
            assert names_by_id.setdefault(record.category_id, record.name) == record.name
    assert_equal(StoredBank(model.out), model.at_once(folder / "at once"))
    oldest = StoredBank(model.out, version=1)
    assert oldest.index().count == len(oldest.features().feature_id) > 0


@pytest.mark.parametrize("seed", range(2))
def test_a_few_changes(tmp_path: Path, seed: int) -> None:
    follow(seed, 7, tmp_path)


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_changes(tmp_path: Path, seed: int) -> None:
    follow(seed, 25, tmp_path)
