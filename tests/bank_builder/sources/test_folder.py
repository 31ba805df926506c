"""A person's own photos become references: with masks as drawn, without masks by SAM."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from bank_builder.build import build_bank, prepare_build
from bank_builder.points import centre_ellipse
from bank_builder.sources.folder import FolderSource
from foundation.images.masks import decode_rle
from foundation.images.reading import decode_png
from schemas.errors import BuildFailed, UsageError
from schemas.ids import pack_image_id
from schemas.rle import Rle
from schemas.store.bank import StoredBank
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.photos import SQUARE, fill, photo, save
from tests.bank_builder.stand_in import (
    SIZE,
    StandInExtractor,
    StandInPainter,
    StandInSegmenter,
    StandInStack,
    settings,
)

OWL = vocabulary_from_names(["owl"])
FIRST = pack_image_id(0, "folder", 0)


class WithoutGenerator(StandInStack):
    """All that photos need; the text-to-image model is not even there."""

    @property
    def text_to_image(self) -> StandInPainter:
        raise AssertionError("photos need no text-to-image model")

    @text_to_image.setter
    def text_to_image(self, value: StandInPainter) -> None:
        pass


def build(folder: Path, out: Path, *names: str) -> StoredBank:
    """A bank of photos alone."""
    vocabulary = vocabulary_from_names(names or ["owl"])
    build_bank(vocabulary, out, settings(), WithoutGenerator(), source=FolderSource(folder))
    return StoredBank(out)


def mask_of(row: dict) -> np.ndarray:
    return decode_rle(Rle(tuple(row["mask"]["size"]), row["mask"]["counts"]))


def test_a_mask_is_used_as_it_is_drawn(tmp_path: Path) -> None:
    drawn = np.zeros((SIZE, SIZE), np.uint8)
    drawn[4:10, 8:16] = 1  # any value but 0; half of a patch's rows below
    save(tmp_path / "photos", "owl/a.png", photo("owl"), drawn)

    bank = build(tmp_path / "photos", tmp_path / "bank")

    (row,) = bank.images_table().to_pylist()
    assert (row["image_id"], row["source"], row["file"]) == (FIRST, "folder", "owl/a.png")
    assert (row["status"], row["width"], row["height"]) == ("accepted", SIZE, SIZE)
    for column in ("prompt", "seed", "sam_score", "attention_agreement", "contrast", "points"):
        assert row[column] is None
    assert np.array_equal(mask_of(row), drawn > 0)
    assert row["mask_area"] == 48 / SIZE**2
    assert np.array_equal(decode_png(bank.png([FIRST])[FIRST]), photo("owl"))
    assert bank.attention_png([FIRST]) == {}
    # The feature by hand: each of 8 x 8 patches of 4 x 4 pixels weighs what the mask covers of it.
    tokens = StandInExtractor().extract([photo("owl")])[0].astype(np.float64)
    weights = np.zeros((8, 8))
    weights[1, 2:4], weights[2, 2:4] = 1.0, 0.5
    mean = (tokens * weights[:, :, None]).sum(axis=(0, 1)) / weights.sum()
    rest = (tokens * (1 - weights)[:, :, None]).sum(axis=(0, 1)) / (1 - weights).sum()
    found = bank.features().embeddings
    assert found[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert found[1] == pytest.approx(rest / np.linalg.norm(rest), abs=1e-6)


def test_without_a_mask_sam_is_asked_about_the_middle(tmp_path: Path) -> None:
    bank = build(fill(tmp_path / "photos", "owl", count=1), tmp_path / "bank")

    (row,) = bank.images_table().to_pylist()
    square = np.zeros((SIZE, SIZE), bool)
    square[SQUARE] = True
    assert row["status"] == "accepted"
    assert np.array_equal(mask_of(row), square)
    # The stand-in's speck has the better quality, 0.9, but not the least area of a reference.
    assert row["sam_score"] == pytest.approx(0.8)
    assert row["attention_agreement"] is None
    assert len(row["points"]) == 4
    assert all(centre_ellipse((SIZE, SIZE))[one["y"], one["x"]] for one in row["points"])


def test_a_photo_without_a_good_mask_is_kept_and_says_why(tmp_path: Path) -> None:
    class Unsure(StandInSegmenter):
        def predict(self, embedding, points):  # type: ignore[no-untyped-def]
            candidates = super().predict(embedding, points)
            candidates.predicted_iou[:] = 0.3
            return candidates

    folder = fill(tmp_path / "photos", "owl", count=1)
    stack = StandInStack(segmenter=Unsure())
    build_bank(OWL, tmp_path / "bank", settings(), stack, source=FolderSource(folder))

    bank = StoredBank(tmp_path / "bank")
    (row,) = bank.images_table(["status", "reason"]).to_pylist()
    assert row == {"status": "rejected", "reason": "predicted quality below 0.5"}
    assert list(bank.png([FIRST])) == [FIRST]
    assert bank.index().count == 0


def test_an_empty_mask_is_rejected_and_one_of_everything_is_not(tmp_path: Path) -> None:
    save(tmp_path / "photos", "owl/a.png", photo("owl"), np.zeros((SIZE, SIZE), np.uint8))
    save(tmp_path / "photos", "owl/b.png", photo("owl"), np.ones((SIZE, SIZE), np.uint8))

    rows = build(tmp_path / "photos", tmp_path / "bank").images_table().to_pylist()

    assert [row["reason"] for row in rows] == ["empty mask", None]
    assert rows[1]["mask_area"] == 1.0


def test_a_photo_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", "owl", count=2)
    (folder / "owl" / "aa.jpg").write_bytes(b"no image")
    save(folder, "owl/c.png", photo("owl"), np.ones((SIZE, SIZE + 1), np.uint8))

    bank = build(folder, tmp_path / "bank")

    rows = bank.images_table(["file", "status", "reason", "width"]).to_pylist()
    assert [row["status"] for row in rows] == ["accepted", "failed", "accepted", "failed"]
    assert rows[1]["reason"].startswith("reading failed: ImageError: owl/aa.jpg: expected a pict")
    assert rows[3]["reason"] == (
        "reading failed: ImageError: the mask of owl/c.png: expected the photo's size, "
        "32 x 32 pixels, found 33 x 32"
    )
    assert str(tmp_path) not in rows[1]["reason"]  # the same wherever the folder is


def test_nothing_but_photos_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "photos" / "owl").mkdir(parents=True)
    (tmp_path / "photos" / "owl" / "a.jpg").write_bytes(b"")

    with pytest.raises(BuildFailed, match=r"all 1 images failed.*owl/a\.jpg: .*an empty file"):
        build(tmp_path / "photos", tmp_path / "bank")


def test_folders_are_found_by_name_and_synonym(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = fill(tmp_path / "photos", "Owl", "night  bird", "cat", count=1)
    fill(folder, "barn owl", count=2)
    (folder / "owl.txt").write_text("no photo")
    (folder / "Owl" / ".hidden.png").write_bytes(b"")
    save(folder, "lost.png", photo("owl"))
    (folder / "Owl" / "z.mask.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        bank = build(folder, tmp_path / "bank", "owl, night bird, barn owl")

    assert bank.images_table(["file"])["file"].to_pylist() == [
        "Owl/a.png",
        "barn owl/a.png",
        "barn owl/b.png",
        "night  bird/a.png",
    ]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"{folder}: masks without a photo: Owl/z.mask.png; not used",
        f"{folder}: no category is called: cat; not used",
        f"{folder}: photos outside of a category's folder: lost.png; not used",
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["owl", "fish", "ant"], r"found none of fish, ant; folders there: empty, owl\."),
        (["owl", "empty"], r"found none of empty; folders there: empty, owl\."),
        (["fish, owl", "ant, owl"], "'owl' may be 'fish' or 'ant', it is a synonym of both"),
    ],
)
def test_a_category_without_photos_is_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    folder = fill(tmp_path / "photos", "owl", count=1)
    (folder / "empty").mkdir()

    with pytest.raises(UsageError, match=message):
        build(folder, tmp_path / "bank", *names)

    assert not (tmp_path / "bank").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name, found in (("nowhere", "nothing"), ("file", "a file")):
        with pytest.raises(UsageError, match=f"expected a folder of photos, found {found}: "):
            build(tmp_path / name, tmp_path / "bank")


def test_all_photos_are_taken_whatever_k_is_and_counted_before(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", "owl", "fish", count=6)
    fill(folder, "owl", count=7)
    vocabulary = vocabulary_from_names(["owl", "fish"])

    prepared = prepare_build(vocabulary, tmp_path / "bank", settings(), source=FolderSource(folder))
    bank = build(folder, tmp_path / "bank", "owl", "fish")

    assert (prepared.image_count, prepared.images_to_make) == (13, 13)
    assert bank.images_table().num_rows == 13
    assert [(one.start, one.stop) for one in bank.shards] == [
        (0, 3),
        (3, 6),
        (6, 7),
        (0, 3),
        (3, 6),
    ]
    assert set(bank.manifest.models) == {"segmenter", "features"}


def test_the_same_photos_give_the_same_bytes_wherever_they_are(tmp_path: Path) -> None:
    banks = []
    for name in ("one", "two"):
        folder = fill(tmp_path / name / "photos", "owl", count=3)
        bank = build(folder, tmp_path / name / "bank")
        banks.append([(shard.name, shard.files, shard.photos) for shard in bank.shards])
    assert banks[0] == banks[1]
