"""Damage of every kind is found, named and repaired, or given up by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bank_builder.build import build_bank
from bank_builder.repair import LOST, Repair, repair_bank
from schemas.errors import BankDamaged, BankError, ModelError
from schemas.settings import Settings
from schemas.store.bank import StoredBank
from schemas.store.manifests import list_versions, manifest_path
from schemas.store.verdicts import Verdict
from schemas.store.verify import inspect_bank
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import StandInStack, settings, shard_bytes

VOCABULARY = vocabulary_from_names(["fish, carp", "owl"])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of two versions: K = 3, then K = 4; to be copied."""
    out = tmp_path_factory.mktemp("original") / "bank"
    build_bank(VOCABULARY, out, settings(images_per_category=3), StandInStack())
    build_bank(VOCABULARY, out, settings(images_per_category=4), StandInStack())
    return out


@pytest.fixture
def bank(original: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may harm."""
    return Path(shutil.copytree(original, tmp_path / "bank"))


def content(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def flip(path: Path, position: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def repair(out: Path, stack: StandInStack | None = None) -> Repair:
    """With models, or without: then loading them fails."""

    def load(_: Settings) -> StandInStack:
        if stack is None:
            raise ModelError("models.features: no weights here")
        return stack

    return repair_bank(out, load)


def find(out: Path, pattern: str) -> Path:
    return sorted(out.glob(pattern))[0]


FILES = [
    "shards/*/images.parquet",
    "shards/*/pixels.parquet",
    "shards/*/features.parquet",
    "shards/*/shard.json",
    "index/*.faiss",
    "index/*.prototypes.parquet",
]


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
@pytest.mark.parametrize("pattern", FILES)
def test_what_can_be_made_again_has_its_old_bytes(
    bank: Path, original: Path, pattern: str, harm: Callable[[Path], None]
) -> None:
    path = find(bank, pattern)
    harm(path)
    (damage,) = inspect_bank(bank).damages
    assert damage.path == path
    assert str(path) in damage.reason

    stack = StandInStack()
    result = repair(bank, stack)

    assert result.after.damages == ()
    assert [one.path for one in result.repaired] in ([path], [path.parent])
    assert content(bank) == content(original)
    made = "shards" in pattern and not pattern.endswith("json")
    assert stack.text_to_image.image_count == (3 if made else 0)


def test_everything_damaged_at_once(bank: Path, original: Path) -> None:
    for path in sorted(bank.glob("shards/*/*")) + sorted(bank.glob("index/*")):
        flip(path)
    result = repair(bank, StandInStack())
    assert result.after.damages == ()
    assert content(bank) == content(original)


def test_nothing_is_done_to_a_whole_bank(bank: Path, original: Path) -> None:
    assert repair(bank).repaired == ()
    assert content(bank) == content(original)


def test_a_shard_is_given_up_without_models_and_made_by_the_next_build(
    bank: Path, original: Path
) -> None:
    flip(find(bank, "shards/*/features.parquet"))
    result = repair(bank)
    assert [one.how for one in result.repaired] == ["given up"]
    now = StoredBank(bank)
    assert now.version == 3
    rows = now.images_table(["status", "reason"]).to_pylist()
    assert [row["reason"] for row in rows if row["status"] == "failed"] == [LOST] * 3
    assert now.index().count == len(now.features().feature_id)
    # The older versions still need the damaged shard.
    assert {damage.versions for damage in result.after.damages} == {(1, 2)}

    build_bank(VOCABULARY, bank, settings(), StandInStack(), retry_failed=True)
    assert StoredBank(bank).images_table().equals(StoredBank(original).images_table())


def test_a_shard_with_other_bytes_than_before_makes_a_new_version(bank: Path) -> None:
    shutil.rmtree(find(bank, "shards/c00000-*-00003-*"))
    stack = StandInStack()
    stack.text_to_image.odd = lambda seed: True  # as another GPU would round otherwise
    result = repair(bank, stack)
    assert [one.how for one in result.repaired] == ["made again"]
    now = StoredBank(bank)
    assert now.version == 3
    assert any(shard.name.endswith("-r1") for shard in now.shards)
    assert {damage.versions for damage in result.after.damages} == {(1, 2)}


def test_other_weights_make_no_shard(bank: Path) -> None:
    flip(find(bank, "shards/*/pixels.parquet"))
    assert [one.how for one in repair(bank, StandInStack(weights="1" * 64)).repaired] == [
        "given up"
    ]


def test_a_damaged_manifest_is_set_aside(bank: Path) -> None:
    flip(manifest_path(bank, 2), 100)
    with pytest.raises(BankDamaged, match="the last good one is version 1"):
        StoredBank(bank)
    result = repair(bank)
    assert [(one.how, one.path) for one in result.repaired] == [
        ("set aside", manifest_path(bank, 2))
    ]
    assert list_versions(bank) == [1]
    assert StoredBank(bank).version == 1
    # The shards of the lost version are still there: the next build makes nothing.
    stack = StandInStack()
    build_bank(VOCABULARY, bank, settings(), stack)
    assert (StoredBank(bank).version, stack.text_to_image.image_count) == (2, 0)


def test_the_only_manifest_is_lost_but_no_shard_is(tmp_path: Path) -> None:
    build_bank(VOCABULARY, tmp_path, settings(), StandInStack())
    wanted = shard_bytes(tmp_path)
    table = StoredBank(tmp_path).images_table()
    cut(manifest_path(tmp_path, 1))
    result = repair(tmp_path)
    assert [one.how for one in result.repaired] == ["set aside"]
    stack = StandInStack()
    build_bank(VOCABULARY, tmp_path, settings(), stack)
    assert stack.text_to_image.image_count == 0
    assert shard_bytes(tmp_path) == wanted
    assert StoredBank(tmp_path).images_table().equals(table)


def test_a_persons_verdicts_come_from_the_version_before(bank: Path) -> None:
    from bank_builder.commit import commit_version
    from bank_builder.plan import bank_settings, plan_of

    for number in (0, 1):
        manifest = StoredBank(bank).manifest
        person = [Verdict(image, "rejected", "blurred", "person") for image in range(number + 1)]
        commit_version(
            bank,
            plan_of(manifest),
            manifest,
            (),
            manifest.models,
            bank_settings(manifest).reference,
            person,
        )
    flip(bank / "verdicts" / "000004.parquet")
    result = repair(bank)
    assert [one.how for one in result.repaired] == ["judged again"]
    now = StoredBank(bank)
    assert now.version == 5
    assert [one.image_id for one in now.verdicts if one.by == "person"] == [0]


def test_what_is_damaged_of_an_unfinished_build_is_made_again(tmp_path: Path) -> None:
    from tests.bank_builder.stand_in import StandInPainter, on_call

    stack = StandInStack(StandInPainter(before=on_call(6, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(), stack)
    assert inspect_bank(tmp_path).damages == ()
    shard = find(tmp_path, "shards/c*")
    flip(shard / "pixels.parquet")
    (damage,) = inspect_bank(tmp_path).damages
    assert (damage.path, damage.versions) == (shard / "pixels.parquet", ())
    assert [one.path for one in repair(tmp_path).repaired] == [shard]
    build_bank(VOCABULARY, tmp_path, settings(), StandInStack())
    assert inspect_bank(tmp_path).damages == ()


def test_a_folder_that_is_no_bank(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="expected a bank"):
        repair(tmp_path)
    assert not (tmp_path / ".lock").exists()
