"""Masks that are too large, in banks: built, grown, judged by a person, repaired."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from bank_builder.build import build_bank
from bank_builder.derived import read_masks, rebuild_index
from bank_builder.removal import remove_categories
from bank_builder.repair import repair_bank
from bank_builder.review import give_verdicts, take_back_verdicts
from bank_builder.sources.diffusion import image_seed
from bank_builder.sources.folder import FolderSource
from schemas.errors import BankDamaged, BankError
from schemas.ids import pack_image_id
from schemas.settings import Settings
from schemas.store.bank import StoredBank
from schemas.store.manifests import commit_manifest
from schemas.store.verify import inspect_bank
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.photos import photo, save
from tests.bank_builder.stand_in import (
    SIZE,
    StandInPainter,
    StandInStack,
    add_categories,
    colour_of,
    settings,
)

REASON = (
    "mask too large for its category (above 0.75 of the image and more than 0.25 above its upper "
    "quartile)"
)
CHANGED = {("owl", 1): REASON, ("owl", 4): REASON}
NAMES = ["owl", "grass"]
SEEDS = {image_seed(0, "owl", number) for number in (1, 4)}


def stack() -> StandInStack:
    """Owls, two of which fill their image, and grass, which always does."""
    return StandInStack(
        StandInPainter(flat=frozenset({"grass"}), filled=lambda seed: seed in SEEDS)
    )


def nine(**reference: object) -> Settings:
    """Nine images a category."""
    base = settings(images_per_category=9)
    return base.model_copy(update={"reference": base.reference.model_copy(update=reference)})


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    build_bank(vocabulary_from_names(NAMES), tmp_path / "bank", nine(), stack())
    return tmp_path / "bank"


def rejected(bank: Path) -> dict[tuple[str, int], str]:
    """The reasons of the rejected images, by category and number."""
    rows = StoredBank(bank).images_table(["category", "number", "status", "reason"]).to_pylist()
    return {
        (row["category"], row["number"]): row["reason"]
        for row in rows
        if row["status"] == "rejected"
    }


def test_things_lose_them_and_stuff_stays(bank: Path) -> None:
    opened = StoredBank(bank)
    assert rejected(bank) == CHANGED
    stored = opened.datasets().images.to_table(["status", "mask_area"])
    assert stored["status"].unique().to_pylist() == ["accepted"]  # no shard depends on others
    assert sum(area > 0.9 for area in stored["mask_area"].to_pylist()) == 9 + 2
    gone = [pack_image_id(0, "diffusion", number) for number in (1, 4)]
    assert not np.isin(gone, opened.features().image_id).any()
    assert inspect_bank(bank).damages == ()


def test_the_bound_can_let_all_pass(tmp_path: Path) -> None:
    vocabulary = vocabulary_from_names(NAMES)
    build_bank(vocabulary, tmp_path / "bank", nine(max_excess=1.0), stack())
    assert rejected(tmp_path / "bank") == {}


def test_too_few_to_compare_become_enough_as_the_bank_grows(tmp_path: Path) -> None:
    vocabulary, out = vocabulary_from_names(NAMES), tmp_path / "bank"
    build_bank(vocabulary, out, settings(images_per_category=4), stack())
    assert rejected(out) == {}
    build_bank(vocabulary, out, nine(), stack())
    assert rejected(out) == CHANGED


def test_every_way_to_a_version_says_the_same(bank: Path, tmp_path: Path) -> None:
    other = pack_image_id(1, "diffusion", 0)

    give_verdicts(bank, [other], "rejected")
    assert rejected(bank) == CHANGED | {("grass", 0): "rejected by a person"}
    take_back_verdicts(bank, [other], "rejected")
    assert rejected(bank) == CHANGED
    add_categories(["fish"], bank, stack())
    assert rejected(bank) == CHANGED
    remove_categories(bank, ["grass", "fish"])
    assert rejected(bank) == CHANGED

    manifest = StoredBank(bank).manifest
    assert manifest.verdicts is not None
    (bank / "verdicts" / manifest.verdicts.name).write_bytes(b"harmed")
    repair_bank(bank, lambda _: stack())
    assert StoredBank(bank).version == manifest.version + 1
    assert rejected(bank) == CHANGED
    index = bank / "index" / f"{manifest.version + 1:06d}.faiss"
    good = index.read_bytes()
    index.unlink()
    rebuild_index(StoredBank(bank, check_sizes=False))
    assert index.read_bytes() == good


def test_a_person_stands_above(bank: Path) -> None:
    right = pack_image_id(0, "diffusion", 4)
    give_verdicts(bank, [right], "accepted")
    assert rejected(bank) == {("owl", 1): REASON}
    assert right in StoredBank(bank).features().image_id


def test_a_bank_from_before_the_comparison_gets_it_with_its_next_version(bank: Path) -> None:
    """The settings of such a bank have no such bound: the default counts."""
    manifest = StoredBank(bank).manifest
    old = copy.deepcopy(dict(manifest.settings))
    del old["reference"]["max_excess"]
    changes = {"version": 2, "settings": old, "verdicts": None}
    commit_manifest(bank, manifest.model_copy(update=changes))
    assert not build_bank(vocabulary_from_names(NAMES), bank, nine(), stack()).changed
    assert rejected(bank) == {}

    give_verdicts(bank, [pack_image_id(1, "diffusion", 0)], "rejected", "not green")

    assert rejected(bank) == CHANGED | {("grass", 0): "not green"}


def test_a_bank_with_a_bound_on_every_mask_grows_by_its_own(tmp_path: Path) -> None:
    """As an older rim made it by default: all stuff that fills its images was rejected."""
    out, own = tmp_path / "bank", nine(max_area=0.98, max_excess=1.0)
    grass = StandInPainter(filled=lambda seed: True)
    build_bank(vocabulary_from_names(["grass"]), out, own, StandInStack(grass))
    assert set(rejected(out).values()) == {"mask too large (above 0.98 of the image)"}
    with pytest.raises(BankError, match=r"reference\.max_area: 0\.98 != 1\.0"):
        build_bank(vocabulary_from_names(["grass"]), out, nine(), StandInStack(grass))

    add_categories(["sky"], out, StandInStack(grass))

    assert len(rejected(out)) == 18
    give_verdicts(out, [pack_image_id(0, "diffusion", 0)], "accepted")
    assert len(rejected(out)) == 17


def whole(name: str, shade: int) -> np.ndarray:
    image = np.empty((SIZE, SIZE, 3), np.uint8)
    image[:] = colour_of(name) // 2 + 40 + shade
    return image


def test_photos_are_compared_with_photos_and_a_persons_mask_stays(tmp_path: Path) -> None:
    folder, names = tmp_path / "photos", ("owl", "grass", "ant")
    full = np.full((SIZE, SIZE), 255, np.uint8)
    for shade in range(7):
        save(folder, f"owl/{shade}.png", photo("owl", shade))
        save(folder, f"grass/{shade}.png", whole("grass", shade))
    save(folder, "owl/7.png", whole("owl", 0))
    save(folder, "owl/8.png", whole("owl", 0), full)
    for shade in range(3):  # few, and one fills its photo
        save(folder, f"ant/{shade}.png", photo("ant", shade))
    save(folder, "ant/3.png", whole("ant", 0))

    out = tmp_path / "bank"
    loose = nine(outlier_mads=1000.0, confusion_margin=2.0)  # only areas are looked at
    source = FolderSource(folder)
    build_bank(vocabulary_from_names(names), out, loose, StandInStack(), source=source)

    assert rejected(out) == {("owl", 7): REASON}


def test_masks_are_read_in_the_order_of_the_images(bank: Path) -> None:
    opened = StoredBank(bank)
    rows = opened.feature_rows()
    read = read_masks(bank, rows.shards, rows.foreground_images)
    table = opened.images_table(["image_id", "mask_area"]).to_pylist()
    area = {row["image_id"]: row["mask_area"] for row in table}
    assert read.area.tolist() == [area[one] for one in rows.foreground_images.tolist()]
    assert not read.given.any()
    with pytest.raises(BankDamaged, match="the area of image"):
        read_masks(bank, rows.shards[1:], rows.foreground_images)
