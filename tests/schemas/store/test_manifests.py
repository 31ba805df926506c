"""Manifests: the highest is the bank, a damaged one is an error that names the last good one.

A build in progress remembers its category ids, and keeps others out.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from schemas.errors import BankDamaged, BankError, OutputError
from schemas.settings import Settings
from schemas.store.lock import build_lock
from schemas.store.manifests import (
    commit_manifest,
    list_versions,
    manifest_path,
    next_version,
    read_manifest,
    read_plan,
    remove_plan,
    write_plan,
)
from schemas.store.sealed import seal, unseal
from tests.schemas.examples import make_manifest, make_plan


def commit(bank: Path, settings: Settings, versions: int) -> None:
    """Commits so many versions."""
    for version in range(1, versions + 1):
        commit_manifest(bank, make_manifest(settings, version=version))


def rewrite(path: Path, **changes: object) -> None:
    """Changes a manifest and gives it the digest that fits."""
    path.write_bytes(seal(json.loads(path.read_bytes()) | changes))


def test_committed_and_read(tmp_path: Path, settings: Settings) -> None:
    assert next_version(tmp_path) == 1
    committed = commit_manifest(tmp_path, make_manifest(settings))
    assert len(committed.digest) == 64
    assert read_manifest(tmp_path) == committed
    assert list_versions(tmp_path) == [1]
    assert next_version(tmp_path) == 2
    assert manifest_path(tmp_path, 1).name == "000001.json"


def test_the_digest_is_of_the_file_with_zeros_in_its_place(
    tmp_path: Path, settings: Settings
) -> None:
    commit(tmp_path, settings, 1)
    data = manifest_path(tmp_path, 1).read_bytes()
    content = json.loads(data)
    zeros = data.replace(content["digest"].encode(), b"0" * 64)
    assert hashlib.sha256(zeros).hexdigest() == content["digest"]
    assert (content["format"], content["format_version"]) == ("rim-bank", 1)


def test_the_highest_is_the_bank_and_older_ones_can_be_read(
    tmp_path: Path, settings: Settings
) -> None:
    commit(tmp_path, settings, 10)
    assert read_manifest(tmp_path).version == 10
    assert read_manifest(tmp_path, 3).version == 3
    with pytest.raises(BankError, match=r"has no version 11; it has 1, 2, 3"):
        read_manifest(tmp_path, 11)


def test_a_number_is_given_once(tmp_path: Path, settings: Settings) -> None:
    first = commit_manifest(tmp_path, make_manifest(settings))
    with pytest.raises(OutputError, match="another build has published version 1 meanwhile"):
        commit_manifest(tmp_path, make_manifest(settings, background=True))
    assert read_manifest(tmp_path) == first


def test_other_files_in_the_folder_are_no_versions(tmp_path: Path, settings: Settings) -> None:
    commit(tmp_path, settings, 1)
    for name in ("000002.json.bak", "2.json", "notes.json", ".tmp-000002.json-1-ab"):
        (tmp_path / "manifests" / name).write_text("x")
    assert list_versions(tmp_path) == [1]


def test_every_flipped_and_every_missing_byte_is_found(tmp_path: Path, settings: Settings) -> None:
    commit(tmp_path, settings, 2)
    path = manifest_path(tmp_path, 2)
    good = path.read_bytes()
    for position in range(len(good)):
        flipped = bytearray(good)
        flipped[position] ^= 1 << position % 8
        for damaged in (bytes(flipped), good[:position] + good[position + 1 :]):
            with pytest.raises(BankDamaged):
                unseal(damaged, path)
    path.write_bytes(good[:-1])
    with pytest.raises(BankDamaged, match=r"the last good one is version 1: rim.open\("):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"format": "rim-bank"}', b"[" * 100_000],
    ids=["empty", "cut", "list", "null", "object", "binary", "nothing else", "deep"],
)
def test_files_that_are_no_manifest(tmp_path: Path, settings: Settings, content: bytes) -> None:
    commit(tmp_path, settings, 2)
    manifest_path(tmp_path, 2).write_bytes(content)
    with pytest.raises(BankDamaged, match="version 1"):
        read_manifest(tmp_path)
    assert read_manifest(tmp_path, 1).version == 1


def test_the_last_good_one_may_be_further_back(tmp_path: Path, settings: Settings) -> None:
    commit(tmp_path, settings, 3)
    manifest_path(tmp_path, 3).write_bytes(b"")
    manifest_path(tmp_path, 2).write_bytes(b"{}")
    with pytest.raises(BankDamaged, match=r"000003.json: .* the last good one is version 1"):
        read_manifest(tmp_path)
    manifest_path(tmp_path, 1).write_bytes(b"")
    with pytest.raises(BankDamaged, match="there is no earlier good one"):
        read_manifest(tmp_path)


def test_a_manifest_under_another_number(tmp_path: Path, settings: Settings) -> None:
    commit(tmp_path, settings, 1)
    manifest_path(tmp_path, 2).write_bytes(manifest_path(tmp_path, 1).read_bytes())
    with pytest.raises(BankDamaged, match="it says that it is version 1"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({"format_version": 2, "novelty": "x"}, "format version 2"),
        ({"reader_flags": ["sparse-masks"]}, "sparse-masks"),
    ],
)
def test_a_newer_format_is_not_called_damage(
    tmp_path: Path, settings: Settings, changes: dict[str, object], unknown: str
) -> None:
    commit(tmp_path, settings, 1)
    rewrite(manifest_path(tmp_path, 1), **changes)
    with pytest.raises(BankError, match=rf"made by a newer rim .*{unknown}.*install a newer rim"):
        read_manifest(tmp_path)


def test_a_writer_flag_lets_it_be_read_but_not_added_to(tmp_path: Path, settings: Settings) -> None:
    commit(tmp_path, settings, 1)
    rewrite(manifest_path(tmp_path, 1), writer_flags=["sorted-ids"])
    assert read_manifest(tmp_path).version == 1
    with pytest.raises(BankError, match=r"made by a newer rim.*not add to it.*sorted-ids"):
        read_manifest(tmp_path, to_write=True)


def test_keys_of_a_newer_rim_are_kept(tmp_path: Path, settings: Settings) -> None:
    commit(tmp_path, settings, 1)
    model = {"name": "dino", "licence": "MIT", "fingerprint": "f" * 64, "novelty": [1]}
    rewrite(manifest_path(tmp_path, 1), novelty=1, models={"features": model})
    read = read_manifest(tmp_path)
    assert read.models["features"].model_dump() == model
    assert read.model_dump()["novelty"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimension": 0}, "dimension: "),
        ({"dimension": 1 << 40}, "dimension: "),
        (
            {"vocabulary": [{"category_id": 0, "name": "a\x1b[2J"}]},
            r"vocabulary.0.name: .*control character U\+001B",
        ),
        ({"index": {"name": "../x", "sha256": "0" * 64, "size": 1, "rows": 1}}, "index.name: "),
    ],
)
def test_a_manifest_of_wrong_values(
    tmp_path: Path, settings: Settings, changes: dict[str, object], message: str
) -> None:
    commit(tmp_path, settings, 1)
    rewrite(manifest_path(tmp_path, 1), **changes)
    with pytest.raises(BankDamaged, match=message):
        read_manifest(tmp_path)


def test_folders_that_are_no_bank(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="expected a bank, found no manifest in"):
        read_manifest(tmp_path)
    with pytest.raises(BankError, match="found nothing there; rim build makes one"):
        read_manifest(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BankError, match="expected a bank, which is a folder, found no folder at"):
        read_manifest(tmp_path / "file")
    (tmp_path / "build.json").write_text("{}")
    with pytest.raises(BankError, match="unfinished build; run the same rim build again"):
        read_manifest(tmp_path)


# --- build.json ---------------------------------------------------------------------------------


def test_written_read_and_removed(tmp_path: Path, settings: Settings) -> None:
    bank = tmp_path / "bank"
    assert read_plan(bank) is None
    write_plan(bank, make_plan(settings))
    assert read_plan(bank) == make_plan(settings)
    remove_plan(bank)
    assert read_plan(bank) is None
    remove_plan(bank)


def test_a_plan_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text('{"settings": 1}')
    with pytest.raises(BankDamaged, match="not what was written"):
        read_plan(tmp_path)
    (tmp_path / "build.json").write_bytes(seal({"settings": 1}))
    with pytest.raises(BankDamaged, match="expected a build's plan"):
        read_plan(tmp_path)


def test_a_place_that_takes_no_plan(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").write_text("x")
    assert read_plan(tmp_path / "file") is None
    with pytest.raises(OutputError, match="cannot write"):
        write_plan(tmp_path / "file", make_plan(settings))
    with pytest.raises(OutputError, match="cannot write into"), build_lock(tmp_path / "file"):
        pass
