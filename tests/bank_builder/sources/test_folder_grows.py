"""Photos are added to banks: to those of photos, and to those of generated images."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bank_builder.build import build_bank
from bank_builder.report import BuildReport
from bank_builder.sources.folder import FolderSource
from schemas.errors import BankError, ModelError, UsageError
from schemas.records import FileRecord
from schemas.settings import Settings
from schemas.store.bank import StoredBank
from schemas.store.manifests import commit_manifest
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.photos import fill, photo, save
from tests.bank_builder.stand_in import SIZE, StandInStack, settings, shard_bytes

OWL = vocabulary_from_names(["owl"])


@dataclass(frozen=True)
class Place:
    """A folder of photos and the bank of it."""

    photos: Path
    bank: Path

    def build(self, stack: StandInStack | None = None, **options: bool) -> BuildReport:
        source = FolderSource(self.photos)
        stack = stack or StandInStack()
        return build_bank(OWL, self.bank, settings(), stack, source=source, **options)

    def files(self) -> list[str]:
        """The photos of the bank by their number."""
        table = StoredBank(self.bank).images_table(["number", "file"])
        assert table["number"].to_pylist() == list(range(table.num_rows))
        return table["file"].to_pylist()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A finished bank of four photos, in shards of three."""
    place = Place(fill(tmp_path / "photos", "owl"), tmp_path / "bank")
    place.build()
    return place


def snapshot(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_same_photos_again_change_nothing(place: Place) -> None:
    before = snapshot(place.bank)
    report = place.build()
    assert (report.version, report.changed, report.images) == (1, False, 4)
    assert snapshot(place.bank) == before


def test_new_photos_come_behind_the_others_wherever_their_names_sort(place: Place) -> None:
    before = shard_bytes(place.bank)
    save(place.photos, "owl/0.png", photo("owl", 9))
    save(place.photos, "owl/bb.png", photo("owl", 10))

    report = place.build()

    assert (report.version, report.images, report.reused_shards) == (2, 6, 2)
    assert place.files() == [f"owl/{name}.png" for name in ("a", "b", "c", "d", "0", "bb")]
    assert before.items() <= shard_bytes(place.bank).items()


def test_what_was_made_of_a_photo_stays_when_its_file_goes(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    (place.photos / "owl" / "b.png").unlink()
    with caplog.at_level(logging.WARNING):
        assert place.build().changed is False
    assert "no longer has owl/b.png of owl; the bank keeps what it made" in caplog.text
    save(place.photos, "owl/e.png", photo("owl", 9))
    place.build()
    assert place.files() == [f"owl/{letter}.png" for letter in "abcde"]


def test_a_photo_that_changed_is_refused_until_it_has_another_name(place: Place) -> None:
    before = snapshot(place.bank)
    save(place.photos, "owl/b.png", photo("owl", 20))
    save(place.photos, "owl/d.png", photo("owl", 3), np.ones((SIZE, SIZE), np.uint8))

    with pytest.raises(BankError, match=r"another content of owl/b\.png, owl/d\.png; give"):
        place.build()

    assert snapshot(place.bank) == before
    assert place.build(overwrite=True).images == 4


def test_a_photo_that_failed_may_be_repaired(tmp_path: Path) -> None:
    place = Place(fill(tmp_path / "photos", "owl", count=3), tmp_path / "bank")
    (place.photos / "owl" / "b.png").write_bytes(b"broken")
    assert place.build().failed == 1
    good = StoredBank(place.bank).features().embeddings[:2]

    save(place.photos, "owl/b.png", photo("owl", 1))
    assert place.build().failed == 1
    report = place.build(retry_failed=True)

    assert (report.version, report.images, report.failed) == (2, 3, 0)
    assert place.files() == ["owl/a.png", "owl/b.png", "owl/c.png"]
    assert np.array_equal(StoredBank(place.bank).features().embeddings[:2], good)
    assert place.build(retry_failed=True).changed is False


def test_a_failed_photo_is_left_where_trying_again_would_lose_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(fill(tmp_path / "photos", "owl", count=3), tmp_path / "bank")
    (place.photos / "owl" / "b.png").write_bytes(b"broken")
    (place.photos / "owl" / "c.png").write_bytes(b"broken")
    place.build()
    (place.photos / "owl" / "c.png").unlink()
    save(place.photos, "owl/b.png", photo("owl", 1))
    assert place.build(retry_failed=True).failed == 1  # c is gone, and nothing of it was there
    (place.photos / "owl" / "a.png").unlink()

    with caplog.at_level(logging.WARNING):
        report = place.build(retry_failed=True)

    assert (report.changed, report.accepted, report.failed) == (False, 2, 1)
    assert "not made again, owl/a.png is gone" in caplog.text


def test_a_shard_that_is_gone_is_made_again_from_its_photos(place: Place) -> None:
    before = shard_bytes(place.bank)
    for path in (place.bank / "shards").glob("*-n00000-*/*"):
        path.unlink()

    place.build()

    assert shard_bytes(place.bank) == before


@pytest.mark.parametrize("number", range(4))
def test_an_interrupted_build_goes_on_to_the_same_bytes(
    place: Place, tmp_path: Path, number: int
) -> None:
    again = Place(place.photos, tmp_path / "again")
    stack = StandInStack()
    calls = iter(range(100))

    def interrupt() -> None:
        if next(calls) == number:
            raise KeyboardInterrupt

    stack.segmenter.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        again.build(stack)

    assert again.build().reused_shards == number // 3
    assert shard_bytes(again.bank) == shard_bytes(place.bank)


def test_a_photo_that_comes_during_an_interrupt_gets_the_last_number(tmp_path: Path) -> None:
    place = Place(fill(tmp_path / "photos", "owl"), tmp_path / "bank")
    stack = StandInStack()
    calls = iter(range(100))

    def interrupt() -> None:
        if next(calls) == 3:
            raise KeyboardInterrupt

    stack.segmenter.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        place.build(stack)
    save(place.photos, "owl/0.png", photo("owl", 9))

    assert place.build().reused_shards == 1
    assert place.files()[-1] == "owl/0.png"


def with_generator(out: Path, *names: str, **generation: object) -> BuildReport:
    vocabulary = vocabulary_from_names(names)
    return build_bank(vocabulary, out, settings(**generation), StandInStack())


def with_photos(
    folder: Path, out: Path, *names: str, stack: StandInStack | None = None, **generation: object
) -> BuildReport:
    vocabulary = vocabulary_from_names(names)
    source = FolderSource(folder)
    stack = stack or StandInStack()
    return build_bank(vocabulary, out, settings(**generation), stack, source=source)


def sources(bank: StoredBank) -> list[tuple[str, str, int]]:
    """How many images there are by category and source."""
    table = bank.images_table(["category", "source"])
    counted = table.group_by(["category", "source"]).aggregate([([], "count_all")])
    return sorted(tuple(row.values()) for row in counted.to_pylist())


def test_photos_join_a_bank_of_generated_images(tmp_path: Path) -> None:
    out = tmp_path / "bank"
    with_generator(out, "owl", "fish", steps=9)
    before, first = shard_bytes(out), StoredBank(out)
    folder = fill(tmp_path / "photos", "owl", "ant", count=2)

    # How images are generated does not matter to photos: nothing of it need be said again.
    report = with_photos(folder, out, "owl", "fish", "ant", images_per_category=1)

    bank = StoredBank(out)
    assert (report.images, report.version) == (12, 2)
    assert sources(bank) == [
        ("ant", "folder", 2),
        ("fish", "diffusion", 4),
        ("owl", "diffusion", 4),
        ("owl", "folder", 2),
    ]
    assert before.items() <= shard_bytes(out).items()
    kept = bank.images_table().filter(pa.compute.field("source") == "diffusion")
    assert kept.equals(first.images_table())
    assert bank.settings.generation == first.settings.generation
    assert bank.manifest.images_per_category == 4
    assert bank.manifest.models == first.manifest.models
    assert bank.index().count == len(bank.features().feature_id) == 24
    # And generated images can be added again, under the settings that they had.
    with pytest.raises(BankError, match=r"generation\.steps: 9 != 50"):
        with_generator(out, "owl", "fish", "ant")
    with_generator(out, "owl", "fish", "ant", steps=9, images_per_category=5)
    assert [count for _, source, count in sources(StoredBank(out)) if source == "diffusion"] == [
        5
    ] * 3


def test_generated_images_join_a_bank_of_photos(tmp_path: Path) -> None:
    out, folder = tmp_path / "bank", fill(tmp_path / "photos", "owl", count=2)
    with_photos(folder, out, "owl", images_per_category=50, steps=3)

    report = with_generator(out, "owl", images_per_category=1, steps=7)

    bank = StoredBank(out)
    assert report.images == 3
    assert (bank.settings.generation.steps, bank.manifest.images_per_category) == (7, 1)
    assert set(bank.manifest.models) == {"text_to_image", "segmenter", "features"}
    assert with_photos(folder, out, "owl").changed is False


def test_what_photos_become_depends_on_other_settings_too(place: Place) -> None:
    changed = settings(steps=7, seed=5)  # of no concern to photos
    source = FolderSource(place.photos)
    assert not build_bank(OWL, place.bank, changed, StandInStack(), source=source).changed
    strict = changed.reference.model_copy(update={"min_area": 0.1, "outlier_mads": 3.0})
    changed = changed.model_copy(update={"reference": strict})
    with pytest.raises(BankError, match=r"min_area: 0\.005 != 0\.1; reference\.outlier_mads: 6"):
        build_bank(OWL, place.bank, changed, StandInStack(), source=source)


def knowing(*names: str) -> Settings:
    return settings().model_copy(update={"known_categories": names})


def test_what_the_generator_does_not_know_can_have_photos(tmp_path: Path) -> None:
    out, folder = tmp_path / "bank", fill(tmp_path / "photos", "zebra", count=2)
    zebra = vocabulary_from_names(["zebra"])
    with pytest.raises(UsageError, match="photos of your own: --source folder:DIR"):
        build_bank(zebra, out, knowing("owl"), StandInStack())
    build_bank(zebra, out, knowing("owl"), StandInStack(), source=FolderSource(folder))

    both = vocabulary_from_names(["zebra", "owl"])
    build_bank(both, out, knowing("owl"), StandInStack())

    assert sources(StoredBank(out)) == [("owl", "diffusion", 4), ("zebra", "folder", 2)]
    more = vocabulary_from_names(["zebra", "owl", "yak"])
    with pytest.raises(UsageError, match="does not know yak; it knows owl"):
        build_bank(more, out, knowing("owl"), StandInStack())


def test_photos_too_need_the_weights_that_made_the_bank(tmp_path: Path) -> None:
    out, folder = tmp_path / "bank", fill(tmp_path / "photos", "owl", count=1)
    with_generator(out, "owl")
    with pytest.raises(ModelError, match=r"models\.segmenter: expected the weights that made"):
        with_photos(folder, out, "owl", stack=StandInStack(weights="f" * 64))


def test_a_category_with_images_needs_no_photos_but_some_must(tmp_path: Path) -> None:
    out, folder = tmp_path / "bank", fill(tmp_path / "photos", "owl", count=1)
    with_generator(out, "fish")
    with pytest.raises(UsageError, match="found none of fish; folders there: owl"):
        with_photos(folder, out, "fish")


def test_shards_from_before_photos_can_be_read(place: Place) -> None:
    (path, *_) = sorted((place.bank / "shards").glob("*/images.parquet"))
    older = pq.read_table(path).drop_columns(["file"])
    pq.write_table(older, path, write_page_checksum=True)
    manifest = StoredBank(place.bank, check_sizes=False).manifest
    shards = tuple(
        shard.model_copy(update={"images": FileRecord.of(path, shard.images.rows)})
        if shard.name == path.parent.name
        else shard
        for shard in manifest.shards
    )
    commit_manifest(place.bank, manifest.model_copy(update={"version": 2, "shards": shards}))

    bank = StoredBank(place.bank)

    assert bank.images_table(["file"])["file"].to_pylist() == [None, None, None, "owl/d.png"]
    assert bank.datasets().images.to_table(columns=["file"]).num_rows == 4
