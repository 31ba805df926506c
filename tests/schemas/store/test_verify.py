"""One flipped bit or one missing byte anywhere in a bank is found, and the file named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import BankError
from schemas.settings import Settings
from schemas.store.manifests import PLAN_NAME, write_plan
from schemas.store.verify import Damage, inspect_bank
from tests.schemas.examples import make_plan


def files_of(bank: Path) -> list[Path]:
    return sorted(path for path in bank.rglob("*") if path.is_file())


def harmed(path: Path, every: int) -> Iterator[int]:
    """Harms one byte of a file after another, in both ways; repairs it afterwards."""
    good = path.read_bytes()
    for position in [*range(0, len(good), every), len(good) - 1]:
        flipped = bytearray(good)
        flipped[position] ^= 1 << position % 8
        for damaged in (bytes(flipped), good[:position] + good[position + 1 :]):
            path.write_bytes(damaged)
            yield position
    path.write_bytes(good)


def check(bank: Path, every: int) -> None:
    assert inspect_bank(bank).damages == ()
    for path in files_of(bank):
        for position in harmed(path, every):
            found = [damage.path for damage in inspect_bank(bank).damages]
            assert found == [path], f"{path}, byte {position}: {found}"
    assert inspect_bank(bank).damages == ()


def test_damage_anywhere_is_found(bank_path: Path, settings: Settings) -> None:
    write_plan(bank_path, make_plan(settings))
    check(bank_path, every=37)


@pytest.mark.stress
def test_damage_in_every_single_byte_is_found(bank_path: Path, settings: Settings) -> None:
    write_plan(bank_path, make_plan(settings))
    check(bank_path, every=1)


def test_every_file_is_counted(bank_path: Path) -> None:
    found = inspect_bank(bank_path)
    assert found.files == len(files_of(bank_path))
    assert [bank.version for bank in found.banks] == [1, 2]


def test_a_missing_file_is_named_with_the_versions_that_need_it(bank_path: Path) -> None:
    index = bank_path / "index" / "000002.faiss"
    index.unlink()
    pixels = sorted(bank_path.glob("shards/*/pixels.parquet"))[0]
    pixels.unlink()
    reason = "cannot be read (No such file or directory)"
    assert set(inspect_bank(bank_path).damages) == {
        Damage(index, f"{index}: {reason}", (2,)),
        Damage(pixels, f"{pixels}: {reason}", (1, 2)),
    }


def test_a_git_lfs_pointer_is_called_one(bank_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
    for pattern in ("shards/*/pixels.parquet", "index/*.faiss", "manifests/000002.json"):
        path = sorted(bank_path.glob(pattern))[0]
        good = path.read_bytes()
        path.write_bytes(pointer)
        (damage,) = inspect_bank(bank_path).damages
        assert "a Git LFS pointer instead of the file: run git lfs pull" in damage.reason
        path.write_bytes(good)


def test_an_unfinished_build_alone_can_be_checked(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(BankError, match="found no manifest"):
        inspect_bank(tmp_path)
    write_plan(tmp_path, make_plan(settings))
    assert (inspect_bank(tmp_path).banks, inspect_bank(tmp_path).files) == ((), 1)
    (tmp_path / PLAN_NAME).write_bytes(b"{}")
    assert [damage.path for damage in inspect_bank(tmp_path).damages] == [tmp_path / PLAN_NAME]
