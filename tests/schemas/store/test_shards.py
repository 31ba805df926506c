"""Shards: whole or not there, the same bytes each time, damage never read silently."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.digests import sha256_file
from schemas.errors import BankDamaged, WriteFailed
from schemas.records import ShardRecord
from schemas.store.sealed import seal
from schemas.store.shard_writer import ShardWriter
from schemas.store.shards import (
    ShardSpec,
    dataset,
    find_shard,
    read_features,
    read_sidecar,
    remove_unfinished,
    shard_folder,
    shards_folder,
    verify_sidecar,
)
from schemas.tables import IMAGES, PIXELS, ReferenceRow, features_schema
from tests.schemas.examples import (
    DIMENSION,
    accepted_row,
    failed_row,
    rejected_row,
    shard_spec,
    write_rows,
    write_shard,
)

ROWS = [accepted_row(0, "house", 0), rejected_row(0, "house", 1), failed_row(0, "house", 2)]


def verify_shard(bank: Path, record: ShardRecord) -> None:
    """BankDamaged unless all of a shard's files are the recorded ones."""
    verify_sidecar(shard_folder(bank, record), record)
    for file in record.files:
        file.verify(shard_folder(bank, record))


def flip(path: Path, position: int) -> None:
    """Flips all bits of one byte."""
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def test_a_shards_name_says_what_is_in_it() -> None:
    spec = ShardSpec(3, "fish", "folder", 50, 100, build_hash="0123abcd" * 8)
    assert spec.name == "c00003-folder-n00050-00100-0123abcd"
    assert replace(spec, attempt=2).name == "c00003-folder-n00050-00100-0123abcd-r2"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    record = write_rows(tmp_path, shard_spec(), ROWS)
    assert record.name == shard_spec().name
    assert (record.batch_size, record.device) == (2, "cpu")
    assert (record.images.rows, record.pixels.rows, record.features.rows) == (3, 3, 2)

    images = dataset(tmp_path, [record], "images", DIMENSION).to_table()
    assert images.schema == IMAGES
    first, second, third = images.to_pylist()
    assert first["mask"] == {"size": [4, 6], "counts": "08`0"}
    assert first["points"] == [{"x": 1, "y": 2}, {"x": 3, "y": 0}]
    assert (first["status"], first["reason"], first["seed"]) == ("accepted", None, 0)
    assert (second["status"], second["reason"], second["mask"]) == ("rejected", "empty mask", None)
    assert (third["status"], third["width"]) == ("failed", None)

    pixels = dataset(tmp_path, [record], "pixels", DIMENSION).to_table()
    assert pixels.schema == PIXELS
    assert pixels["png"].to_pylist() == [b"png house 0", b"png", None]

    features = read_features(tmp_path, record)
    np.testing.assert_array_equal(features.embeddings, [ROWS[0].foreground, ROWS[0].background])
    assert features.role.tolist() == [0, 1]
    assert features.image_id.tolist() == [ROWS[0].image_id] * 2


def test_only_the_named_files_are_there_and_the_sidecar_describes_them(tmp_path: Path) -> None:
    record = write_rows(tmp_path, shard_spec(), ROWS)
    folder = shard_folder(tmp_path, record)
    assert sorted(path.name for path in folder.iterdir()) == [
        "features.parquet",
        "images.parquet",
        "pixels.parquet",
        "shard.json",
    ]
    assert list(shards_folder(tmp_path).iterdir()) == [folder]
    assert read_sidecar(folder) == record
    for file in record.files:
        assert sha256_file(folder / file.name) == file.sha256
    verify_shard(tmp_path, record)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one = write_rows(tmp_path / "one", shard_spec(), ROWS)
    two = write_rows(tmp_path / "two", shard_spec(), ROWS)
    assert one.files == two.files


def test_a_shard_without_any_feature(tmp_path: Path) -> None:
    rows = [rejected_row(0, "house", 0)]
    record = write_rows(tmp_path, shard_spec(stop=1), rows)
    assert read_features(tmp_path, record).embeddings.shape == (0, DIMENSION)
    table = dataset(tmp_path, [record], "features", DIMENSION).to_table()
    assert table.schema == features_schema(DIMENSION)


def test_an_empty_dataset_has_the_columns() -> None:
    table = dataset(Path("nowhere"), [], "features", DIMENSION).to_table()
    assert table.schema == features_schema(DIMENSION)
    assert table.num_rows == 0


def test_seconds_are_looked_at_after_the_last_row(tmp_path: Path) -> None:
    seconds: dict[str, float] = {}

    def rows() -> Iterator[ReferenceRow]:
        yield from ROWS
        seconds["generate"] = 1.5

    record = write_shard(
        tmp_path,
        shard_spec(),
        rows(),
        dimension=DIMENSION,
        batch_size=1,
        device="cpu",
        seconds=seconds,
    )
    assert record.seconds == {"generate": 1.5}


def test_a_build_that_dies_inside_a_shard_leaves_none(tmp_path: Path) -> None:
    def rows() -> Iterator[ReferenceRow]:
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, shard_spec(), rows(), dimension=DIMENSION, batch_size=1, device="cpu")
    assert list(shards_folder(tmp_path).iterdir()) == []
    assert find_shard(tmp_path, shard_spec()) is None


@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO")  # it is never closed
def test_a_killed_build_leaves_a_temporary_folder_that_is_no_shard(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, shard_spec(), dimension=DIMENSION)
    writer.add(ROWS[0])
    assert find_shard(tmp_path, shard_spec()) is None
    assert remove_unfinished(tmp_path) == 1
    assert list(shards_folder(tmp_path).iterdir()) == []


def test_the_folder_is_renamed_after_everything_in_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    rename = os.rename

    def record(source: Path, target: Path) -> None:
        seen.append(sorted(path.name for path in source.iterdir()))
        rename(source, target)

    monkeypatch.setattr(os, "rename", record)
    write_rows(tmp_path, shard_spec(), ROWS)
    assert seen == [["features.parquet", "images.parquet", "pixels.parquet", "shard.json"]]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[:2],
        [ROWS[0], ROWS[2], ROWS[1]],
        [*ROWS, accepted_row(0, "house", 3)],
        [accepted_row(0, "fish", number) for number in range(3)],
        [accepted_row(1, "house", number) for number in range(3)],
    ],
    ids=["one missing", "order", "one too many", "name", "category"],
)
def test_a_shard_takes_exactly_its_images(tmp_path: Path, rows: list[ReferenceRow]) -> None:
    with pytest.raises(ValueError, match="expected"):
        write_rows(tmp_path, shard_spec(), rows)
    assert list(shards_folder(tmp_path).iterdir()) == []


@pytest.mark.parametrize(
    "embedding", [np.ones(DIMENSION + 1, np.float32), np.full(DIMENSION, np.nan, np.float32)]
)
def test_a_wrong_embedding_never_reaches_the_disk(tmp_path: Path, embedding: np.ndarray) -> None:
    row = replace(ROWS[0], foreground=embedding)
    with pytest.raises(
        ValueError, match=r"foreground: expected a finite embedding of shape \(4,\)"
    ):
        write_rows(tmp_path, shard_spec(stop=1), [row])


def test_a_row_is_accepted_or_has_a_reason() -> None:
    with pytest.raises(ValueError, match="expected a reason unless accepted"):
        replace(ROWS[0], reason="because")
    with pytest.raises(ValueError, match="expected a reason unless accepted"):
        replace(ROWS[1], reason=None)
    with pytest.raises(ValueError, match="expected a status"):
        replace(ROWS[0], status="fine")


def test_finding_a_finished_shard(tmp_path: Path) -> None:
    spec = shard_spec()
    assert find_shard(tmp_path, spec) is None
    record = write_rows(tmp_path, spec, ROWS)
    assert find_shard(tmp_path, spec) == record
    assert find_shard(tmp_path, replace(spec, stop=4)) is None
    assert find_shard(tmp_path, replace(spec, build_hash="0" * 64)) is None
    # The same first digits, and so the same folder, but another hash.
    assert find_shard(tmp_path, replace(spec, build_hash=spec.build_hash[:8] + "0" * 56)) is None


def test_the_latest_attempt_is_found(tmp_path: Path) -> None:
    spec = shard_spec()
    first = write_rows(tmp_path, spec, ROWS)
    retried = replace(spec, attempt=1)
    assert find_shard(tmp_path, retried) is None
    second = write_rows(tmp_path, retried, [accepted_row(0, "house", n) for n in range(3)])
    assert find_shard(tmp_path, spec) == second
    assert find_shard(tmp_path, retried) == second
    verify_shard(tmp_path, first)


@pytest.mark.parametrize("name", ["images", "pixels", "features"])
def test_damage_is_found_wherever_it_is(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    record = write_rows(tmp_path, shard_spec(), ROWS)
    path = shard_folder(tmp_path, record) / f"{name}.parquet"
    flip(path, path.stat().st_size // 3)
    assert find_shard(tmp_path, shard_spec(), verify=False) == record
    with caplog.at_level(logging.WARNING):
        assert find_shard(tmp_path, shard_spec()) is None
    assert f"{name}.parquet: its content is not what was written" in caplog.text
    with pytest.raises(BankDamaged, match=r"SHA-256 differs"):
        verify_shard(tmp_path, record)
    path.write_bytes(path.read_bytes()[:-1])
    assert find_shard(tmp_path, shard_spec(), verify=False) is None
    path.unlink()
    with pytest.raises(BankDamaged, match="No such file"):
        verify_shard(tmp_path, record)


def test_a_flipped_byte_of_an_embedding_is_not_read(tmp_path: Path) -> None:
    record = write_rows(tmp_path, shard_spec(), ROWS)
    path = shard_folder(tmp_path, record) / "features.parquet"
    assert ROWS[0].foreground is not None
    flip(path, path.read_bytes().index(ROWS[0].foreground.tobytes()))
    with pytest.raises(BankDamaged, match=r"features.parquet: expected .* CRC checksum"):
        read_features(tmp_path, record)
    with pytest.raises(OSError, match="CRC checksum"):
        dataset(tmp_path, [record], "features", DIMENSION).to_table()


def test_a_damaged_shard_is_replaced_by_writing_it_again(tmp_path: Path) -> None:
    record = write_rows(tmp_path, shard_spec(), ROWS)
    (shard_folder(tmp_path, record) / "images.parquet").write_bytes(b"")
    assert write_rows(tmp_path, shard_spec(), ROWS) == record
    verify_shard(tmp_path, record)
    assert list(shards_folder(tmp_path).iterdir()) == [shard_folder(tmp_path, record)]


def test_a_shard_that_another_build_has_finished_is_kept(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, shard_spec(), dimension=DIMENSION) as slow:
        theirs = write_rows(tmp_path, shard_spec(), ROWS)
        for row in ROWS:
            slow.add(row)
        assert slow.finish(batch_size=8, device="cuda") == theirs
    assert list(shards_folder(tmp_path).iterdir()) == [shard_folder(tmp_path, theirs)]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff", seal({"name": "../../etc"})], ids=repr
)
def test_a_sidecar_that_is_none(tmp_path: Path, content: bytes) -> None:
    record = write_rows(tmp_path, shard_spec(), ROWS)
    folder = shard_folder(tmp_path, record)
    (folder / "shard.json").write_bytes(content)
    with pytest.raises(BankDamaged, match=r"shard\.json: "):
        read_sidecar(folder)
    assert find_shard(tmp_path, shard_spec()) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"images.parquet", b"../../../parquet"),
        (b"images.parquet", b"pixels.parquet"),
        (b'"house"', b'"house\\u202e"'),
        (b'"diffusion"', b'"elsewhere"'),
    ],
)
def test_a_strangers_record_cannot_say_anything(tmp_path: Path, old: bytes, new: bytes) -> None:
    record = write_rows(tmp_path, shard_spec(), ROWS)
    path = shard_folder(tmp_path, record) / "shard.json"
    path.write_bytes(seal(json.loads(path.read_bytes().replace(old, new))))
    with pytest.raises(BankDamaged, match=r"expected a shard's record"):
        read_sidecar(path.parent)


def test_a_place_that_takes_no_shard(tmp_path: Path) -> None:
    (tmp_path / "bank").write_bytes(b"a file")
    with pytest.raises(WriteFailed, match=r"cannot begin the shard .* what was finished is kept"):
        write_rows(tmp_path / "bank", shard_spec(), ROWS)
