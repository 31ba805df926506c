"""Banks by strangers: every change of a manifest, a shard's record or a Parquet file is read, or
refused in one line. Nothing else is ever raised.
"""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rim.inspection.summary import summary
from schemas.digests import sha256_bytes, sha256_file
from schemas.errors import BankDamaged, BankError
from schemas.store.bank import StoredBank
from schemas.store.manifests import manifest_path
from schemas.store.sealed import read_sealed, seal
from schemas.store.shards import read_features, read_sidecar, shards_folder
from schemas.store.verify import inspect_bank
from tests.fuzz.mutations import mutated

ODD = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, "", "x", "a/b", "..",
    "../../etc/passwd", "/etc/passwd", "\0", "\x1b[31m", "\u202e", "x" * 10_000, "0" * 64, [], {},
    [[]], {"": {}}, ["x"] * 1000, "rim-bank", "folder", "000001.faiss",
)  # fmt: skip


def damaged_tree(tree: Any, chance: random.Random) -> Any:
    """A copy of JSON data with one to three values changed, moved, left out or put in."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice((1, 1, 3))):
        places = list(_places(tree))
        holder, key = chance.choice(places)
        kind = chance.choice(("odd", "odd", "gone", "other", "more"))
        if kind == "odd":
            holder[key] = copy.deepcopy(chance.choice(ODD))
        elif kind == "gone":
            del holder[key]
        elif kind == "other":
            other, place = chance.choice(places)
            value = other.get(place) if isinstance(other, dict) else None
            holder[key] = copy.deepcopy(value)
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        else:
            holder[chance.choice(("new", "", "digest", "version"))] = chance.choice(ODD)
    return tree


def _places(tree: Any) -> Any:
    """Every (container, key) in JSON data."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def use(path: Path) -> None:
    """All that a reader does with a bank."""
    bank = StoredBank(path)
    _ = bank.settings, bank.categories, bank.shards, bank.verdicts
    bank.images_table()
    for shard in bank.shards:
        read_features(path, shard)
    features = bank.features()
    bank.prototypes()
    bank.png(features.image_id.tolist())
    bank.index().search(features.embeddings[:1], 1)
    json.dumps(summary(bank))


def outcome(work: Callable[[], object], path: Path) -> str | None:
    """None if it works, else the message; whatever else is raised is raised."""
    try:
        work()
    except (BankDamaged, BankError) as error:
        return str(error)
    return None


def check(messages: list[str | None], count: int, few: float) -> None:
    refused = [message for message in messages if message is not None]
    assert len(refused) > few * count
    assert all(len(message.splitlines()) <= 2 and len(message) < 2000 for message in refused)


COUNTS = [200, pytest.param(5000, marks=pytest.mark.stress)]


def test_the_undamaged_one_can_be_used(bank_path: Path) -> None:
    assert outcome(lambda: use(bank_path), bank_path) is None


@pytest.mark.parametrize("count", COUNTS)
def test_flipped_bytes_of_a_manifest_never_pass(bank_path: Path, count: int) -> None:
    path = manifest_path(bank_path, 2)
    data = path.read_bytes()
    for seed in range(count):
        changed = mutated(data, random.Random(seed), [manifest_path(bank_path, 1).read_bytes()])
        path.write_bytes(changed)
        message = outcome(lambda: StoredBank(bank_path), bank_path)
        assert (message is None) == (changed == data), seed
        if message is not None:
            assert "000002.json" in message
            assert "the last good one is version 1" in message


@pytest.mark.parametrize("count", COUNTS)
def test_manifests_that_a_stranger_has_written_and_sealed(bank_path: Path, count: int) -> None:
    path = manifest_path(bank_path, 2)
    content = read_sealed(path)
    messages = []
    for seed in range(count):
        path.write_bytes(_sealed(damaged_tree(content, random.Random(seed))))
        messages.append(outcome(lambda: use(bank_path), bank_path))
    check(messages, count, 0.5)


@pytest.mark.parametrize("count", COUNTS)
def test_records_of_shards_that_a_stranger_has_written(bank_path: Path, count: int) -> None:
    """A build and `rim verify` read these; a stranger's may lie there."""
    folder = next(shards_folder(bank_path).iterdir())
    path = folder / "shard.json"
    content = read_sealed(path)
    messages = []
    for seed in range(count):
        path.write_bytes(_sealed(damaged_tree(content, random.Random(seed))))
        messages.append(outcome(lambda: read_sidecar(folder), bank_path))
        if seed % 20 == 0:
            assert inspect_bank(bank_path)
    check(messages, count, 0.3)


@pytest.mark.parametrize("name", ["images", "pixels", "features", "000002.prototypes"])
@pytest.mark.parametrize("count", [60, pytest.param(1500, marks=pytest.mark.stress)])
def test_parquet_files_with_the_right_checksum(bank_path: Path, name: str, count: int) -> None:
    """What a stranger's own files can hold: the checksum says nothing about them."""
    path = manifest_path(bank_path, 2)
    content = read_sealed(path)
    file = min(bank_path.rglob(f"{name}.parquet"))
    data = file.read_bytes()
    others = [one.read_bytes() for one in sorted(bank_path.rglob("*.parquet"))]
    messages = []
    for seed in range(count):
        chance = random.Random(seed)
        changed = chance.choice(others) if seed % 10 == 0 else mutated(data, chance, others)
        file.write_bytes(changed)
        tree = copy.deepcopy(content)
        for record in _file_records(tree):
            if record["name"] == file.name and record["sha256"] == sha256_bytes(data):
                record.update(size=len(changed), sha256=sha256_file(file))
        path.write_bytes(_sealed(tree))
        messages.append(outcome(lambda: use(bank_path), bank_path))
    check(messages, count, 0.3)


def _file_records(tree: Any) -> list[dict[str, Any]]:
    holders = [(holder, key) for holder, key in _places(tree)]
    values = [holder[key] for holder, key in holders]
    return [
        value for value in values if isinstance(value, dict) and {"name", "sha256"} <= value.keys()
    ]


def _sealed(tree: Any) -> bytes:
    try:
        return seal(tree)
    except (ValueError, AttributeError):  # no object any more
        return json.dumps(tree).encode()


def test_no_name_in_a_manifest_leads_out_of_the_bank(bank_path: Path, tmp_path: Path) -> None:
    """Not even to a file that is just as good."""
    secret = tmp_path / "secret.parquet"
    shutil.copy(next(bank_path.rglob("images.parquet")), secret)
    content = read_sealed(manifest_path(bank_path, 2))
    for name in ("../../../secret.parquet", str(secret), "..", ".", "", "a\0b"):
        for part in ("images", "pixels", "features"):
            tree = copy.deepcopy(content)
            tree["shards"][0][part]["name"] = name
            manifest_path(bank_path, 2).write_bytes(seal(tree))
            assert outcome(lambda: use(bank_path), bank_path) is not None
        for key in ("index", "prototypes"):
            tree = copy.deepcopy(content)
            tree[key]["name"] = name
            manifest_path(bank_path, 2).write_bytes(seal(tree))
            assert outcome(lambda: use(bank_path), bank_path) is not None
        tree = copy.deepcopy(content)
        tree["shards"][0]["name"] = name
        manifest_path(bank_path, 2).write_bytes(seal(tree))
        assert outcome(lambda: use(bank_path), bank_path) is not None


def test_a_pipe_in_place_of_a_manifest_is_damage(bank_path: Path) -> None:
    path = manifest_path(bank_path, 3)
    os.mkfifo(path)
    message = outcome(lambda: StoredBank(bank_path), bank_path)
    assert message is not None
    assert "000003.json: expected a file" in message
    assert "the last good one is version 2" in message
