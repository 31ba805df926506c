"""A whole build with stand-in models: what is in the bank, and what the build says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bank_builder.build import build_bank, prepare_build
from bank_builder.report import BuildProgress
from bank_builder.sources.diffusion import image_seed
from foundation.images.masks import decode_rle
from foundation.images.reading import decode_png
from schemas.errors import BuildFailed, OutputError, UsageError
from schemas.ids import pack_image_id
from schemas.rle import Rle
from schemas.store.bank import StoredBank
from schemas.store.manifests import list_versions
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import (
    DIMENSION,
    SIZE,
    StandInPainter,
    StandInStack,
    settings,
)

VOCABULARY = vocabulary_from_names(["fish, carp", "owl", "background"])


@pytest.fixture
def bank(tmp_path: Path) -> StoredBank:
    """Two categories of four images."""
    build_bank(VOCABULARY, tmp_path / "bank", settings(), StandInStack())
    return StoredBank(tmp_path / "bank")


def test_the_report_counts_what_is_in_the_bank(tmp_path: Path) -> None:
    report = build_bank(VOCABULARY, tmp_path / "bank", settings(), StandInStack())

    assert (report.images, report.accepted, report.rejected, report.failed) == (8, 8, 0, 0)
    assert report.features == 16  # a foreground and a background each
    assert (report.failed_images, report.categories_without_feature) == ((), ())
    assert (report.version, report.changed, report.reused_shards) == (1, True, 0)


def test_every_image_has_a_row_that_says_how_it_was_made(bank: StoredBank) -> None:
    rows = bank.images_table().to_pylist()

    assert [(row["category"], row["number"]) for row in rows] == [
        (category, number) for category in ("fish", "owl") for number in range(4)
    ]
    assert {row["prompt"] for row in rows} == {"a photo of a fish", "a photo of an owl"}
    assert [row["seed"] for row in rows[:4]] == [image_seed(0, "fish", n) for n in range(4)]
    assert {(row["width"], row["height"], row["source"]) for row in rows} == {
        (SIZE, SIZE, "diffusion")
    }
    assert all(1 <= len(row["points"]) <= 4 for row in rows)
    assert all(row["contrast"] == pytest.approx(0.8) for row in rows)


def test_the_mask_is_the_object_in_the_image(bank: StoredBank) -> None:
    for row in bank.images_table().to_pylist():
        image = decode_png(bank.png([row["image_id"]])[row["image_id"]])
        mask = decode_rle(Rle(tuple(row["mask"]["size"]), row["mask"]["counts"]))

        np.testing.assert_array_equal(mask, (image != 90).any(axis=2))
        assert row["mask_area"] == pytest.approx(mask.mean())
        assert row["sam_score"] == pytest.approx(0.8)
        assert row["attention_agreement"] > 0.7


def test_features_are_normalised_and_a_categorys_own_lie_close(bank: StoredBank) -> None:
    features = bank.features()
    foreground = features.embeddings[features.role == 0]
    category = features.category_id[features.role == 0]

    np.testing.assert_allclose(np.linalg.norm(features.embeddings, axis=1), 1, atol=1e-6)
    similarity = foreground @ foreground.T
    same = category[:, None] == category[None, :]
    assert features.embeddings.shape == (16, DIMENSION)
    assert similarity[same].min() > similarity[~same].max()


def test_the_index_holds_the_features_of_the_bank(bank: StoredBank) -> None:
    features = bank.features()

    similarity, nearest = bank.index().search(features.embeddings, 1)

    np.testing.assert_allclose(similarity, 1, atol=1e-5)
    assert bank.index().count == len(features.feature_id)
    assert set(nearest[:, 0]) <= set(features.feature_id)


def test_the_attention_is_kept_as_a_image_from_black_to_white(bank: StoredBank) -> None:
    image_id = pack_image_id(0, "diffusion", 0)

    attention = decode_png(bank.attention_png([image_id])[image_id])

    assert attention.shape == (8, 8)
    assert (attention.min(), attention.max()) == (0, 255)


def test_the_manifest_says_what_made_the_bank(bank: StoredBank) -> None:
    manifest = bank.manifest

    assert manifest.background
    assert [(one.category_id, one.name, one.synonyms) for one in manifest.vocabulary] == [
        (0, "fish", ("carp",)),
        (1, "owl", ()),
    ]
    assert {"generate", "localise", "segment", "pool", "write", "index"} <= set(manifest.seconds)
    assert {"torch", "numpy", "pyarrow"} <= set(manifest.libraries)
    assert set(manifest.models) == {"text_to_image", "segmenter", "features"}
    assert [(shard.start, shard.stop) for shard in bank.shards] == [(0, 3), (3, 4)] * 2
    assert not (bank.path / "build.json").exists()


def test_batches_never_cross_a_shard(tmp_path: Path) -> None:
    stack = StandInStack()

    build_bank(VOCABULARY, tmp_path / "bank", settings(), stack)

    assert stack.text_to_image.batches == [
        [name] * size for name in ("fish", "owl") for size in (2, 1, 1)
    ]


def test_progress_counts_up_to_the_total(tmp_path: Path) -> None:
    events: list[BuildProgress] = []

    build_bank(VOCABULARY, tmp_path / "bank", settings(), StandInStack(), progress=events.append)

    before = ["weights", "loading", "loading", "loading", "first batch"]
    assert [event.stage for event in events] == [*before, *["references"] * 6, "index"]
    assert [event.done for event in events] == [*[0] * 5, 2, 3, 4, 6, 7, 8, 8]
    assert {event.total for event in events} == {8}
    assert [event.role for event in events if event.role] == [
        *("text_to_image", "segmenter", "features")
    ]
    of_a_category = [event.category for event in events[4:]]
    assert of_a_category == ["fish", *["fish"] * 3, *["owl"] * 3, None]
    assert not any(event.category for event in events[:4])
    assert events[-1].accepted == 8


def test_a_resumed_build_says_first_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "bank"
    build_bank(vocabulary_from_names(["fish, carp", "background"]), out, settings(), StandInStack())
    events: list[BuildProgress] = []
    build_bank(VOCABULARY, out, settings(), StandInStack(), progress=events.append)
    assert [(event.stage, event.done, event.total) for event in events[:2]] == [
        ("weights", 4, 8),
        ("loading", 4, 8),
    ]
    events.clear()
    build_bank(VOCABULARY, out, settings(), StandInStack(), progress=events.append, overwrite=True)
    assert {event.total for event in events} == {8}
    assert [event.done for event in events[:6]] == [0, 0, 0, 0, 0, 2]


def test_a_trial_of_the_memory_is_told_where_there_is_one(tmp_path: Path) -> None:
    events: list[BuildProgress] = []
    stack = StandInStack(device=torch.device("cuda"))
    build_bank(VOCABULARY, tmp_path / "bank", settings(), stack, progress=events.append)
    assert [event.stage for event in events[3:6]] == ["loading", "trial", "first batch"]


def test_the_same_build_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        build_bank(VOCABULARY, tmp_path / name, settings(), StandInStack())
        files = sorted((tmp_path / name).glob("shards/*/*.parquet"))
        contents.append({path.parent.name + path.name: path.read_bytes() for path in files})

    assert len(contents[0]) == 12
    assert contents[0] == contents[1]


def test_an_images_content_does_not_depend_on_its_place_in_the_vocabulary(tmp_path: Path) -> None:
    rows = []
    for names in (["owl"], ["fish", "owl"]):
        out = tmp_path / str(len(names))
        build_bank(vocabulary_from_names(names), out, settings(), StandInStack())
        table = StoredBank(out).images_table(["category", "seed", "points", "mask"]).to_pylist()
        rows.append([row for row in table if row["category"] == "owl"])

    assert rows[0] == rows[1]


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    for seed in (0, 1):
        build_bank(VOCABULARY, tmp_path / str(seed), settings(seed=seed), StandInStack())
    banks = [StoredBank(tmp_path / str(seed)) for seed in (0, 1)]

    seeds = [set(bank.images_table(["seed"])["seed"].to_pylist()) for bank in banks]

    assert seeds[0].isdisjoint(seeds[1])


def test_stuff_that_fills_its_image_is_all_foreground_and_has_no_background(tmp_path: Path) -> None:
    stack = StandInStack(StandInPainter(flat=frozenset({"grass"})))

    report = build_bank(vocabulary_from_names(["grass"]), tmp_path / "bank", settings(), stack)

    assert (report.accepted, report.features) == (4, 4)
    assert set(
        StoredBank(tmp_path / "bank").images_table(["mask_area"])["mask_area"].to_pylist()
    ) == {1.0}


def test_a_category_without_any_accepted_image_is_named(tmp_path: Path) -> None:
    stack = StandInStack(StandInPainter(astray=frozenset({"owl"})))

    report = build_bank(VOCABULARY, tmp_path / "bank", settings(), stack)

    assert report.categories_without_feature == ("owl",)
    assert (report.accepted, report.rejected, report.features) == (4, 4, 8)
    bank = StoredBank(tmp_path / "bank")
    owls = [row for row in bank.images_table().to_pylist() if row["category"] == "owl"]
    assert all(row["status"] == "rejected" and row["reason"] for row in owls)
    assert bank.features().category_id.max() == 0


def test_a_rejected_image_keeps_its_image_and_its_features(tmp_path: Path) -> None:
    stack = StandInStack(StandInPainter(astray=frozenset({"owl"})))
    build_bank(VOCABULARY, tmp_path / "bank", settings(), stack)
    bank = StoredBank(tmp_path / "bank")
    image_id = pack_image_id(1, "diffusion", 0)

    features = bank.datasets().features.to_table()["image_id"].to_pylist()

    assert image_id in bank.png([image_id])
    assert image_id in features


def test_a_black_image_is_rejected_and_not_looked_at(tmp_path: Path) -> None:
    black = image_seed(0, "fish", 2)
    stack = StandInStack(StandInPainter(flagged=lambda seed: seed == black))

    report = build_bank(VOCABULARY, tmp_path / "bank", settings(), stack)

    row = StoredBank(tmp_path / "bank").images_table().to_pylist()[2]
    assert (report.accepted, report.rejected) == (7, 1)
    assert (row["status"], row["reason"]) == ("rejected", "black image (safety checker)")
    assert (row["mask"], row["points"], row["width"]) == (None, None, SIZE)


def test_the_odd_one_out_of_its_category_is_rejected_by_a_verdict(tmp_path: Path) -> None:
    odd = image_seed(0, "fish", 5)
    stack = StandInStack(StandInPainter(odd=lambda seed: seed == odd))

    # Alone in its bank, the category has no other that the odd one could be nearer to.
    alone = vocabulary_from_names(["fish"])
    report = build_bank(alone, tmp_path / "bank", settings(images_per_category=9), stack)

    bank = StoredBank(tmp_path / "bank")
    row = bank.images_table().to_pylist()[5]
    assert (report.rejected, report.features) == (1, 16)
    assert row["status"] == "rejected"
    assert row["reason"].startswith("outlier of its category")
    assert row["image_id"] not in bank.features().image_id
    assert bank.index().count == 16


def test_a_generator_is_not_asked_for_what_it_was_never_taught(tmp_path: Path) -> None:
    knowing = settings().model_copy(update={"known_categories": ("Fish", "house")})

    with pytest.raises(
        UsageError, match=r"does not know owl; it knows Fish, house.*--preset paper"
    ):
        build_bank(VOCABULARY, tmp_path / "bank", knowing, StandInStack())

    assert not (tmp_path / "bank").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"thesis\.tex"):
            build_bank(VOCABULARY, tmp_path, settings(), StandInStack(), overwrite=overwrite)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_place_for_a_bank(tmp_path: Path) -> None:
    (tmp_path / "bank").write_text("")

    with pytest.raises(OutputError, match="found a file"):
        build_bank(VOCABULARY, tmp_path / "bank", settings(), StandInStack())


def test_overwrite_starts_again(bank: StoredBank) -> None:
    (bank.path / "notes.txt").write_text("mine")
    vocabulary = vocabulary_from_names(["chair"])

    report = build_bank(vocabulary, bank.path, settings(steps=7), StandInStack(), overwrite=True)

    assert (report.version, report.images, report.reused_shards) == (1, 4, 0)
    assert [record.name for record in StoredBank(bank.path).categories] == ["chair"]
    assert len(list((bank.path / "shards").iterdir())) == 2
    assert (bank.path / "notes.txt").read_text() == "mine"


def test_a_build_of_which_every_image_failed_is_no_bank(tmp_path: Path) -> None:
    def fail(prompt: object, seed: int) -> None:
        raise RuntimeError("the device is lost")

    with pytest.raises(
        BuildFailed, match=r"all 8 images failed.*the device is lost.*--retry-failed"
    ):
        build_bank(
            VOCABULARY, tmp_path / "bank", settings(), StandInStack(StandInPainter(before=fail))
        )

    assert list_versions(tmp_path / "bank") == []
    report = build_bank(
        VOCABULARY, tmp_path / "bank", settings(), StandInStack(), retry_failed=True
    )
    assert report.accepted == 8


def test_a_preview_counts_and_changes_nothing(tmp_path: Path, bank: StoredBank) -> None:
    more = settings(images_per_category=6)

    assert prepare_build(VOCABULARY, bank.path, more).images_to_make == 4
    assert prepare_build(VOCABULARY, bank.path, more).image_count == 12
    assert prepare_build(VOCABULARY, bank.path, more, overwrite=True).images_to_make == 12
    assert prepare_build(VOCABULARY, tmp_path / "other", settings()).images_to_make == 8
    assert not (tmp_path / "other").exists()
    assert list_versions(bank.path) == [1]
