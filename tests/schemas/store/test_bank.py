"""A bank as its readers see it: accepted features, verdicts applied, PNG files by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas.errors import BankDamaged, BankError
from schemas.ids import pack_feature_id, pack_image_id
from schemas.records import CategoryRecord
from schemas.settings import Settings
from schemas.store.bank import StoredBank, index_folder
from schemas.store.manifests import commit_manifest, read_manifest
from schemas.store.shards import shard_folder
from schemas.store.verdicts import Verdict, verdicts_folder, write_verdicts
from tests.schemas.examples import make_manifest, unit_vector

HOUSE = [pack_image_id(0, "diffusion", number) for number in range(3)]
FISH = [pack_image_id(1, "diffusion", number) for number in range(3)]
NOT_DERIVED = {"index": None, "prototypes": None, "feature_rows": None}


def give_verdicts(path: Path, verdicts: list[Verdict]) -> StoredBank:
    """The bank in a new version with these verdicts."""
    last = read_manifest(path)
    record = write_verdicts(verdicts_folder(path) / "000003.parquet", verdicts)
    changes = {"version": last.version + 1, "verdicts": record}
    commit_manifest(path, last.model_copy(update=changes | NOT_DERIVED))
    return StoredBank(path)


def statuses(bank: StoredBank) -> dict[int, tuple[str, str | None]]:
    """Status and reason of every image."""
    rows = bank.images_table(["image_id", "status", "reason"]).to_pylist()
    return {row["image_id"]: (row["status"], row["reason"]) for row in rows}


def test_what_a_bank_says_of_itself(bank_path: Path, settings: Settings) -> None:
    bank = StoredBank.open(str(bank_path))
    assert bank.path == bank_path
    assert bank.manifest.version == 2
    assert bank.settings == settings
    assert [category.name for category in bank.categories] == ["house", "fish"]
    assert StoredBank(bank_path, version=1).manifest.index is None


def test_images_are_in_the_order_of_their_ids(bank_path: Path) -> None:
    table = StoredBank(bank_path).images_table()
    assert table["image_id"].to_pylist() == HOUSE + FISH
    assert table["status"].to_pylist() == ["accepted", "rejected", "failed"] + ["accepted"] * 3
    assert table["prompt"].to_pylist()[0] == "a photo of a house"


def test_columns_can_be_chosen(bank_path: Path) -> None:
    table = StoredBank(bank_path).images_table(["category", "number"])
    assert table.column_names == ["category", "number"]
    assert table.num_rows == 6


def test_features_are_those_of_accepted_images(bank_path: Path) -> None:
    bank = StoredBank(bank_path)
    features = bank.features()
    accepted = [HOUSE[0], *FISH]
    assert features.feature_id.tolist() == [
        pack_feature_id(image_id, role) for role in (0, 1) for image_id in accepted
    ]
    assert features.image_id.tolist() == accepted * 2
    assert features.category_id.tolist() == [0, 1, 1, 1] * 2
    assert features.role.tolist() == [0] * 4 + [1] * 4
    assert features.embeddings.dtype == np.float32
    np.testing.assert_array_equal(features.embeddings[2], unit_vector(101))
    assert bank.features() is features


def test_the_index_holds_the_same_features(bank_path: Path) -> None:
    bank = StoredBank(bank_path)
    features = bank.features()
    similarity, feature_id = bank.index().search(features.embeddings, 1)
    assert feature_id[:, 0].tolist() == features.feature_id.tolist()
    np.testing.assert_allclose(similarity[:, 0], 1, atol=1e-6)


def test_verdicts_change_status_and_features(bank_path: Path) -> None:
    bank = give_verdicts(
        bank_path,
        [
            Verdict(FISH[0], "rejected", "outlier", "automatic"),
            Verdict(FISH[1], "rejected", "outlier", "automatic"),
            Verdict(FISH[1], "accepted", None, "person"),
            Verdict(FISH[2], "rejected", "not a fish", "person"),
            Verdict(HOUSE[1], "accepted", None, "person"),
            Verdict(HOUSE[2], "accepted", None, "person"),
        ],
    )
    assert statuses(bank) == {
        HOUSE[0]: ("accepted", None),
        HOUSE[1]: ("accepted", None),
        HOUSE[2]: ("failed", "out of memory"),
        FISH[0]: ("rejected", "outlier"),
        FISH[1]: ("accepted", None),
        FISH[2]: ("rejected", "not a fish"),
    }
    # House 1 has no mask, and so nothing to contribute although a person accepts it.
    assert set(bank.features().image_id.tolist()) == {HOUSE[0], FISH[1]}
    # The older version is as it was.
    assert set(StoredBank(bank_path, version=2).features().image_id.tolist()) == {HOUSE[0], *FISH}


def test_removed_categories_do_not_show(bank_path: Path) -> None:
    last = read_manifest(bank_path)
    vocabulary = (
        last.vocabulary[0].model_copy(update={"removed": True}),
        last.vocabulary[1],
        CategoryRecord(category_id=2, name="house"),
    )
    changes = {"version": 3, "vocabulary": vocabulary, **NOT_DERIVED}
    commit_manifest(bank_path, last.model_copy(update=changes))
    bank = StoredBank(bank_path)
    assert [category.category_id for category in bank.categories] == [1, 2]
    assert bank.images_table()["image_id"].to_pylist() == FISH
    assert set(bank.features().category_id.tolist()) == {1}
    with pytest.raises(BankError, match=f"has no image {HOUSE[0]}"):
        bank.png([HOUSE[0]])


def test_png_files_by_id(bank_path: Path) -> None:
    bank = StoredBank(bank_path)
    assert bank.png([FISH[2], HOUSE[0], HOUSE[2]]) == {
        FISH[2]: b"png fish 2",
        HOUSE[0]: b"png house 0",  # house 2 failed and has no PNG
    }
    assert bank.attention_png([FISH[0]]) == {FISH[0]: b"attention fish 0"}
    assert bank.png([]) == {}


@pytest.mark.parametrize("image_id", [pack_image_id(0, "diffusion", 3), -1, 1 << 60])
def test_png_files_that_are_not_there(bank_path: Path, image_id: int) -> None:
    with pytest.raises(BankError, match=f"has no image {image_id}"):
        StoredBank(bank_path).png([image_id])


def test_datasets_for_questions(bank_path: Path) -> None:
    bank = give_verdicts(
        bank_path,
        [
            Verdict(FISH[1], "rejected", "outlier", "automatic"),
            Verdict(FISH[1], "accepted", None, "person"),
        ],
    )
    datasets = bank.datasets()
    assert datasets.images.count_rows() == datasets.pixels.count_rows() == 6
    assert datasets.features.count_rows() == 8
    assert datasets.verdicts.to_pylist() == [
        {"image_id": FISH[1], "status": "accepted", "reason": None, "by": "person"}
    ]


def test_a_bank_without_shards(tmp_path: Path, settings: Settings) -> None:
    commit_manifest(tmp_path, make_manifest(settings))
    bank = StoredBank(tmp_path)
    assert bank.images_table().num_rows == 0
    assert bank.features().embeddings.shape == (0, 4)
    assert bank.datasets().features.count_rows() == 0
    with pytest.raises(BankDamaged, match="has no index; make it: rim verify --repair"):
        bank.index()


def test_damage_names_the_file(bank_path: Path) -> None:
    bank = StoredBank(bank_path)
    (index_folder(bank_path) / "000002.faiss").write_bytes(b"")
    with pytest.raises(BankDamaged, match=r"000002\.faiss: expected the index"):
        bank.index()
    (shard_folder(bank_path, bank.shards[0]) / "images.parquet").write_bytes(b"PAR1")
    with pytest.raises(BankDamaged, match=r"images\.parquet: expected \d+ bytes, found 4"):
        bank.images_table()
    (shard_folder(bank_path, bank.shards[1]) / "pixels.parquet").unlink()
    with pytest.raises(BankDamaged, match=r"pixels\.parquet: cannot be read"):
        bank.png([FISH[0]])


def test_sizes_are_checked_at_opening(bank_path: Path) -> None:
    bank = StoredBank(bank_path)
    for folder, record in bank.files():
        path = folder / record.name
        good = path.read_bytes()
        path.write_bytes(good[:-1])
        with pytest.raises(BankDamaged, match=rf"{path.name}: .*rim verify --repair"):
            StoredBank(bank_path)
        path.write_bytes(good)
    StoredBank(bank_path)


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 4
    path.write_bytes(data)


def test_content_is_checked_at_first_use_and_once(bank_path: Path) -> None:
    bank = StoredBank(bank_path)
    bank.images_table()
    images = shard_folder(bank_path, bank.shards[0]) / "images.parquet"
    # Pages have checksums of their own; the footer has none, and the name of the writer is in it.
    position = images.read_bytes().rindex(b"parquet-cpp")
    flip(images, position)
    bank.check_part("images")
    with pytest.raises(BankDamaged, match=r"images\.parquet: its content is not what was written"):
        StoredBank(bank_path).images_table()
    flip(images, position)
    pixels = shard_folder(bank_path, bank.shards[1]) / "pixels.parquet"
    flip(pixels, pixels.read_bytes().rindex(b"parquet-cpp"))
    fresh = StoredBank(bank_path)
    assert fresh.images_table().num_rows == 6
    with pytest.raises(BankDamaged, match=r"pixels\.parquet: its content is not what was written"):
        fresh.png([FISH[0]])


def test_a_reader_keeps_its_version_while_the_next_is_committed(bank_path: Path) -> None:
    reader = StoredBank(bank_path)
    last = reader.manifest
    fish_only = last.vocabulary[0].model_copy(update={"removed": True}), last.vocabulary[1]
    commit_manifest(bank_path, last.model_copy(update={"version": 3, "vocabulary": fish_only}))
    assert [record.name for record in reader.categories] == ["house", "fish"]
    assert reader.images_table().num_rows == 6
    assert reader.index().count == len(reader.features().feature_id)
    assert [record.name for record in StoredBank(bank_path).categories] == ["fish"]


def test_settings_of_another_rim(tmp_path: Path, settings: Settings) -> None:
    manifest = make_manifest(settings)
    newer = manifest.model_copy(update={"settings": manifest.settings | {"novelty": 1}})
    commit_manifest(tmp_path, newer)
    with pytest.raises(BankError, match=r"novelty is no section.*another version of rim"):
        _ = StoredBank(tmp_path).settings
