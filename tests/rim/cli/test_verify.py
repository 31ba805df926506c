"""`rim verify`: damage in a bank is found, named and repaired; old versions are deleted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foundation.stack import ModelStack
from foundation.weights import cache
from rim import Bank
from rim.cli.commands.verify import _loader
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
def test_damaged_caches_are_made_again(run: Run, bank_copy: Path, pattern: str) -> None:
    before = files_of(bank_copy)
    caches = sorted(bank_copy.glob(f"index/{pattern}"))
    for file in caches:
        file.write_bytes(file.read_bytes()[:-1])
    assert run("verify", bank_copy).status == 3
    outcome = run("verify", bank_copy, "--repair", "--json")
    assert outcome.status == 0, outcome.err
    assert sorted(one["path"] for one in outcome.json()["repaired"]) == [*map(str, caches)]
    assert files_of(bank_copy) == before


def test_a_damaged_shard_is_made_again_with_the_same_bytes(run: Run, bank_copy: Path) -> None:
    before = files_of(bank_copy)
    target = sorted(bank_copy.rglob("pixels.parquet"))[0]
    target.write_bytes(target.read_bytes()[:-1])
    opening = run("info", bank_copy)
    assert (opening.status, opening.out) == (3, "")
    assert f"{target}: expected" in opening.err
    assert "rim verify --repair" in opening.err
    outcome = run("verify", bank_copy, "--repair")
    assert outcome.status == 0, outcome.err
    assert f"made again: {target.parent}" in outcome.err
    assert files_of(bank_copy) == before


def test_a_shard_that_cannot_be_made_is_given_up_by_name(
    run: Run, bank_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foundation import stack
    from schemas.errors import ModelError

    def missing(self: object, roles: object) -> None:
        raise ModelError("models.features: not on this machine")

    monkeypatch.setattr(stack.ModelStack, "fingerprints", missing)
    (victim, *_) = sorted(bank_copy.rglob("features.parquet"))
    victim.unlink()
    outcome = run("verify", bank_copy, "--repair")
    assert outcome.status == 3
    assert f"given up: {victim.parent}" in outcome.err
    assert "version 2 is whole; the damage is in older versions alone" in outcome.err
    assert "rim verify" in outcome.err
    assert run("info", bank_copy, "--json").json()["failed"] == 4
    pruned = run("verify", bank_copy, "--prune", "--keep", 1, "--json")
    assert pruned.status == 0, pruned.err
    assert pruned.json()["pruned"]["versions"] == [1]
    assert str(victim.parent) in pruned.json()["pruned"]["paths"]
    assert pruned.json()["damaged"] == []


def test_a_repair_reads_every_byte_of_the_models(
    opened: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes what the bank will hold: what is remembered of the weights does not suffice."""
    monkeypatch.setenv("RIM_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "SETTLED_NS", -(10**12))
    recorded = opened.manifest.models["features"].fingerprint
    assert ModelStack(opened.settings, "cpu").fingerprints(["features"])["features"].fingerprint
    memory = tmp_path / "files.json"
    text = re.sub(r'"sha256":\s*"\w{64}"', f'"sha256": "{"0" * 64}"', memory.read_text("utf-8"))
    memory.write_text(text, encoding="utf-8")
    trusting = ModelStack(opened.settings, "cpu").fingerprints(["features"])["features"]
    assert trusting.fingerprint != recorded
    reading = _loader(opened.path, "cpu")(opened.settings).fingerprints(["features"])["features"]
    assert reading.fingerprint == recorded


def test_keep_wants_prune(run: Run, built: Path) -> None:
    outcome = run("verify", built, "--keep", 1)
    assert (outcome.status, "--keep wants --prune" in outcome.err) == (2, True)


def test_the_only_manifest_is_set_aside_and_the_next_step_is_named(
    run: Run, bank_copy: Path, tmp_path: Path
) -> None:
    manifest = bank_copy / "manifests" / "000001.json"
    manifest.write_bytes(manifest.read_bytes()[:-10])
    outcome = run("verify", bank_copy, "--repair")
    assert outcome.status == 3
    assert "no version is left; run the same rim build again" in outcome.err
    again = run("info", bank_copy)
    assert "holds finished shards and no version" in again.err
    words = tmp_path / "words.txt"
    words.write_text("house\nfish\ngrass\nsky\n")
    settings = ("-k", 4, "--steps", 8, "--seed", 1)
    built_again = run("build", words, "--out", bank_copy, *settings)
    assert built_again.status == 0, built_again.err
    assert run("verify", bank_copy).status == 0


def test_a_damaged_manifest_is_named(run: Run, bank_copy: Path) -> None:
    manifest = bank_copy / "manifests" / "000001.json"
    manifest.write_bytes(manifest.read_bytes()[:-10])
    outcome = run("verify", bank_copy)
    assert outcome.status == 3
    assert "000001.json" in outcome.err
