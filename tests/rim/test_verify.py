"""`rim verify`: damage anywhere in a bank is found and named; caches are made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rim.conftest import Run, files_of


def test_an_undamaged_bank(run: Run, built: Path) -> None:
    outcome = run("verify", built, "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json()["damaged"] == []
    assert outcome.json()["files"] >= 3 * 4 + 1


@pytest.mark.parametrize(
    "pattern", ["images.parquet", "pixels.parquet", "features.parquet", "shard.json"]
)
def test_one_flipped_bit_in_a_shard_is_named(run: Run, bank_copy: Path, pattern: str) -> None:
    target = sorted(bank_copy.rglob(pattern))[0]
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(data)
    outcome = run("verify", bank_copy)
    assert outcome.status == 3
    assert str(target) in outcome.err


@pytest.mark.parametrize("pattern", ["*.faiss", "*.prototypes.parquet", "*"])
def test_damaged_caches_are_made_anew(run: Run, bank_copy: Path, pattern: str) -> None:
    before = files_of(bank_copy)
    caches = sorted(bank_copy.glob(f"index/{pattern}"))
    for cache in caches:
        cache.write_bytes(cache.read_bytes()[:-1])
    assert run("verify", bank_copy).status == 3
    outcome = run("verify", bank_copy, "--repair", "--json")
    assert outcome.status == 0, outcome.err
    assert sorted(outcome.json()["repaired"]) == [str(cache) for cache in caches]
    assert files_of(bank_copy) == before


def test_a_damaged_manifest_is_named(run: Run, bank_copy: Path) -> None:
    manifest = bank_copy / "manifests" / "000001.json"
    manifest.write_bytes(manifest.read_bytes()[:-10])
    outcome = run("verify", bank_copy)
    assert outcome.status == 3
    assert "000001.json" in outcome.err
