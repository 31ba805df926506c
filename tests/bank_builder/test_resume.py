"""Builds that go on: after an interrupt, a failed image, or with more to make than before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bank_builder.build import build_bank
from bank_builder.seeds import image_seed
from foundation.text_to_image import Prompt
from schemas.bank import Bank
from schemas.errors import BankError, ModelError, OutputError
from schemas.ids import pack_image_id
from schemas.manifest import commit_manifest, list_versions
from schemas.progress_file import build_lock, read_plan
from schemas.settings import Settings
from schemas.verdicts import Verdict, verdicts_folder, write_verdicts
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import StandInPainter, StandInSegmenter, StandInStack, settings

VOCABULARY = vocabulary_from_names(["fish, carp", "owl"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank that was built in one go; to be looked at only."""
    out = tmp_path_factory.mktemp("undisturbed") / "bank"
    build_bank(VOCABULARY, out, settings(), StandInStack())
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished bank that may be changed."""
    build_bank(VOCABULARY, tmp_path / "bank", settings(), StandInStack())
    return tmp_path / "bank"


def shard_bytes(out: Path) -> dict[str, bytes]:
    """Every Parquet file of every shard."""
    files = (out / "shards").glob("*/*.parquet")
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


def on_call(number: int, error: BaseException) -> Callable[[Prompt, int], None]:
    """Raises an error before the picture of that number (from 0), counted over all."""
    calls = iter(range(10**6))

    def before(prompt: Prompt, seed: int) -> None:
        if next(calls) == number:
            raise error

    return before


def on_seeds(*seeds: int) -> Callable[[Prompt, int], None]:
    """Raises an error for the pictures of these seeds."""

    def before(prompt: Prompt, seed: int) -> None:
        if seed in seeds:
            raise RuntimeError(f"no picture for {prompt.name}\nand more lines")

    return before


@pytest.mark.parametrize(
    ("number", "error"),
    [*((number, KeyboardInterrupt()) for number in range(8)), (5, SystemExit(1))],
)
def test_an_interrupted_build_goes_on_to_the_same_bytes(
    tmp_path: Path, undisturbed: Path, number: int, error: BaseException
) -> None:
    out = tmp_path / "bank"
    interrupted = StandInStack(StandInPainter(before=on_call(number, error)))
    with pytest.raises(type(error)):
        build_bank(VOCABULARY, out, settings(), interrupted)
    finished = shard_bytes(out)
    assert list_versions(out) == []

    resumed = StandInStack()
    report = build_bank(VOCABULARY, out, settings(), resumed)

    assert shard_bytes(out) == shard_bytes(undisturbed)
    assert finished.items() <= shard_bytes(out).items()
    assert report.reused_shards == len(finished) // 3
    assert resumed.text_to_image.pictures <= 8 - (number // 4 * 4 + number % 4 // 3 * 3)
    assert Bank(out).images_table().equals(Bank(undisturbed).images_table())
    assert not list((out / "shards").glob(".tmp-*"))


def test_an_interrupt_while_segmenting_keeps_the_finished_shards(tmp_path: Path) -> None:
    stack = StandInStack()
    calls = iter(range(100))

    def interrupt() -> None:
        if next(calls) == 5:
            raise KeyboardInterrupt

    stack.segmenter.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(), stack)

    assert build_bank(VOCABULARY, tmp_path, settings(), StandInStack()).reused_shards == 2


def test_a_finished_bank_stays_as_it_is_and_the_models_are_not_touched(out: Path) -> None:
    stack = StandInStack()
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    report = build_bank(VOCABULARY, out, settings(), stack)

    assert (report.version, report.changed, report.reused_shards) == (1, False, 4)
    assert (report.images, report.features) == (8, 16)
    assert stack.text_to_image.batches == []
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == files


def test_more_images_per_category_are_added_to_the_ones_there(out: Path) -> None:
    before = shard_bytes(out)
    stack = StandInStack()

    report = build_bank(VOCABULARY, out, settings(images_per_category=6), stack)

    assert (report.version, report.images, report.reused_shards) == (2, 12, 4)
    assert stack.text_to_image.pictures == 4
    assert before.items() <= shard_bytes(out).items()
    numbers = Bank(out).images_table(["category", "number"]).to_pylist()
    assert [row["number"] for row in numbers if row["category"] == "owl"] == list(range(6))
    assert Bank(out, version=1).images_table().num_rows == 8


def test_more_images_are_the_ones_that_a_larger_build_would_have_made(
    out: Path, tmp_path: Path
) -> None:
    larger = settings(images_per_category=6)
    build_bank(VOCABULARY, out, larger, StandInStack())
    build_bank(VOCABULARY, tmp_path / "at once", larger, StandInStack())

    assert Bank(out).images_table().equals(Bank(tmp_path / "at once").images_table())
    assert (
        Bank(out).features().embeddings == Bank(tmp_path / "at once").features().embeddings
    ).all()


def test_an_unfinished_build_that_gets_larger_keeps_its_shards(tmp_path: Path) -> None:
    stack = StandInStack(StandInPainter(before=on_call(3, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(images_per_category=2), stack)

    resumed = StandInStack()
    report = build_bank(VOCABULARY, tmp_path, settings(images_per_category=4), resumed)

    assert (report.images, report.reused_shards) == (8, 1)
    assert resumed.text_to_image.pictures == 6


def test_categories_are_added_and_the_others_shards_are_not_touched(out: Path) -> None:
    before = shard_bytes(out)
    larger = vocabulary_from_names(["ant", "owl", "fish, carp"])
    stack = StandInStack()

    report = build_bank(larger, out, settings(), stack)

    assert (report.version, report.images, report.reused_shards) == (2, 12, 4)
    assert {name for batch in stack.text_to_image.batches for name in batch} == {"ant"}
    assert before.items() <= shard_bytes(out).items()
    assert [(one.category_id, one.name) for one in Bank(out).categories] == [
        (0, "fish"),
        (1, "owl"),
        (2, "ant"),
    ]


def test_an_interrupted_addition_keeps_its_ids_and_leaves_the_bank_as_it_was(out: Path) -> None:
    larger = vocabulary_from_names(["fish, carp", "owl", "bee", "ant"])
    stack = StandInStack(StandInPainter(before=on_call(6, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(larger, out, settings(), stack)

    assert [one.name for one in Bank(out).categories] == ["fish", "owl"]
    assert build_bank(VOCABULARY, out, settings(), StandInStack()).changed is False
    reordered = vocabulary_from_names(["ant", "fish, carp", "owl", "bee"])
    report = build_bank(reordered, out, settings(), StandInStack())
    assert report.reused_shards == 6
    assert [(one.category_id, one.name) for one in Bank(out).categories[2:]] == [
        (2, "bee"),
        (3, "ant"),
    ]


def remove(out: Path, name: str) -> None:
    """Publishes a version without a category, its shards kept."""
    manifest = Bank(out).manifest
    records = tuple(
        one.model_copy(update={"removed": one.removed or one.name == name})
        for one in manifest.vocabulary
    )
    changes = {"version": manifest.version + 1, "vocabulary": records}
    commit_manifest(out, manifest.model_copy(update=changes))


def test_a_removed_category_that_comes_back_gets_a_new_id(out: Path) -> None:
    remove(out, "fish")
    owl = vocabulary_from_names(["owl"])
    assert build_bank(owl, out, settings(), StandInStack()).changed is False

    report = build_bank(VOCABULARY, out, settings(), StandInStack())

    assert (report.version, report.images) == (3, 8)
    assert [(one.category_id, one.name) for one in Bank(out).categories] == [
        (1, "owl"),
        (2, "fish"),
    ]
    assert Bank(out, version=1).images_table().num_rows == 8


@pytest.mark.parametrize(
    ("names", "changed", "difference"),
    [
        (["fish, carp", "owl"], {"steps": 20}, r"generation\.steps: 50 != 20"),
        (["fish, carp", "owl"], {"seed": 3}, r"generation\.seed: 0 != 3"),
        (["fish, carp", "owl"], {"batch_size": 1}, r"generation\.batch_size: 2 != 1"),
        (
            ["fish, carp", "owl"],
            {"images_per_category": 3},
            r"generation\.images_per_category: 4 > 3",
        ),
        (["fish, carp"], {}, "the category 'owl' is missing"),
        (["fish", "owl"], {}, "synonyms of 'fish': carp != none"),
        (["fish, carp", "owl", "background"], {}, "background: False != True"),
        (
            ["fish"],
            {"steps": 20},
            r"generation\.steps: 50 != 20; synonyms.*'owl' is missing",
        ),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_any_other_difference_is_refused_and_named(
    tmp_path: Path, names: list[str], changed: dict[str, int], difference: str, finished: bool
) -> None:
    if finished:
        build_bank(VOCABULARY, tmp_path, settings(), StandInStack())
    else:
        stack = StandInStack(StandInPainter(before=on_call(7, KeyboardInterrupt())))
        with pytest.raises(KeyboardInterrupt):
            build_bank(VOCABULARY, tmp_path, settings(), stack)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    with pytest.raises(BankError, match=difference):
        build_bank(vocabulary_from_names(names), tmp_path, settings(**changed), StandInStack())

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files


def test_a_build_that_finished_no_shard_may_be_started_with_other_settings(tmp_path: Path) -> None:
    stack = StandInStack(StandInPainter(before=on_call(1, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(), stack)

    report = build_bank(vocabulary_from_names(["ant"]), tmp_path, settings(steps=9), StandInStack())

    assert (report.images, report.reused_shards) == (4, 0)


def with_reference(**changes: float) -> Settings:
    """The settings with other values in the section `reference`."""
    base = settings()
    return base.model_copy(update={"reference": base.reference.model_copy(update=changes)})


def test_another_tolerance_for_outliers_is_a_difference_too(out: Path) -> None:
    with pytest.raises(BankError, match=r"reference\.outlier_mads: 6\.0 != 3\.0"):
        build_bank(VOCABULARY, out, with_reference(outlier_mads=3.0), StandInStack())


def test_other_weights_under_the_same_name_are_refused(out: Path) -> None:
    with pytest.raises(ModelError, match=r"models\.text_to_image: expected the weights that made"):
        build_bank(VOCABULARY, out, settings(images_per_category=5), StandInStack(weights="f" * 64))

    assert list_versions(out) == [1]
    assert read_plan(out) is None


def test_missing_weights_end_the_build_before_anything_is_written(tmp_path: Path) -> None:
    class NoWeights(StandInStack):
        def fingerprints(self) -> dict:
            raise ModelError("models.features: expected weights, found none")

    with pytest.raises(ModelError):
        build_bank(VOCABULARY, tmp_path / "bank", settings(), NoWeights())

    assert not (tmp_path / "bank").exists()


def test_a_model_that_cannot_be_loaded_ends_the_build_before_anything_is_written(
    tmp_path: Path,
) -> None:
    class BrokenSegmenter(StandInStack):
        @property
        def segmenter(self) -> StandInSegmenter:
            raise ModelError("models.segmenter: expected a model that can be loaded")

        @segmenter.setter
        def segmenter(self, value: StandInSegmenter) -> None:
            pass

    with pytest.raises(ModelError):
        build_bank(VOCABULARY, tmp_path / "bank", settings(), BrokenSegmenter())

    assert not (tmp_path / "bank").exists()


def test_two_builds_at_once_are_refused(tmp_path: Path) -> None:
    with build_lock(tmp_path), pytest.raises(OutputError, match="another process"):
        build_bank(VOCABULARY, tmp_path, settings(), StandInStack())


def test_a_failed_image_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    bad = image_seed(0, "fish", 1)
    stack = StandInStack(StandInPainter(before=on_seeds(bad)))

    report = build_bank(VOCABULARY, tmp_path, settings(), stack)

    image_id = pack_image_id(0, "diffusion", 1)
    assert (report.accepted, report.failed, report.failed_images) == (7, 1, (image_id,))
    row = Bank(tmp_path).images_table().to_pylist()[1]
    assert (row["status"], row["seed"], row["mask"]) == ("failed", bad, None)
    assert row["reason"] == "generating failed: RuntimeError: no picture for fish"
    assert Bank(tmp_path).png([image_id]) == {}


def test_an_image_that_cannot_be_segmented_keeps_its_picture(tmp_path: Path) -> None:
    stack = StandInStack()
    calls = iter(range(100))

    def before() -> None:
        if next(calls) == 0:
            raise ValueError("mask decoder")

    stack.segmenter.before = before
    report = build_bank(VOCABULARY, tmp_path, settings(), stack)

    row = Bank(tmp_path).images_table().to_pylist()[0]
    assert report.failed == 1
    assert row["reason"] == "segmenting failed: ValueError: mask decoder"
    assert row["image_id"] in Bank(tmp_path).png([row["image_id"]])


def test_an_image_without_usable_tokens_fails_alone(tmp_path: Path) -> None:
    stack = StandInStack()
    calls = iter(range(100))

    def before(image: object) -> None:
        if next(calls) in (0, 1):
            raise FloatingPointError("overflow")

    stack.features.before = before
    report = build_bank(VOCABULARY, tmp_path, settings(), stack)

    statuses = Bank(tmp_path).images_table(["status", "reason"]).to_pylist()
    assert report.failed == 1
    assert statuses[0]["reason"] == "extracting features failed: FloatingPointError: overflow"
    assert statuses[1]["status"] == "accepted"


def test_failed_images_are_made_again_only_if_asked_for(tmp_path: Path, undisturbed: Path) -> None:
    stack = StandInStack(StandInPainter(before=on_seeds(image_seed(0, "fish", 1))))
    build_bank(VOCABULARY, tmp_path, settings(), stack)
    assert build_bank(VOCABULARY, tmp_path, settings(), StandInStack()).changed is False

    again = StandInStack()
    report = build_bank(VOCABULARY, tmp_path, settings(), again, retry_failed=True)

    assert (report.version, report.failed, report.accepted, report.reused_shards) == (2, 0, 8, 3)
    assert again.text_to_image.pictures == 3  # the shard with the failed image
    assert Bank(tmp_path).images_table().equals(Bank(undisturbed).images_table())
    assert Bank(tmp_path, version=1).images_table(["status"])["status"].to_pylist()[1] == "failed"
    third = build_bank(VOCABULARY, tmp_path, settings(), StandInStack(), retry_failed=True)
    assert third.changed is False


def test_an_interrupted_retry_goes_on(tmp_path: Path) -> None:
    bad = on_seeds(image_seed(0, "fish", 1), image_seed(0, "owl", 0))
    build_bank(VOCABULARY, tmp_path, settings(), StandInStack(StandInPainter(before=bad)))
    stack = StandInStack(StandInPainter(before=on_call(4, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(), stack, retry_failed=True)
    assert Bank(tmp_path).manifest.version == 1

    again = StandInStack()
    report = build_bank(VOCABULARY, tmp_path, settings(), again, retry_failed=True)

    assert (report.failed, report.version) == (0, 2)
    assert again.text_to_image.pictures == 3


def test_a_shard_of_the_bank_that_was_cut_short_is_made_again(out: Path, undisturbed: Path) -> None:
    victim = sorted((out / "shards").glob("*/pixels.parquet"))[1]
    victim.write_bytes(victim.read_bytes()[:-100])

    report = build_bank(VOCABULARY, out, settings(), StandInStack())

    assert (report.changed, report.reused_shards) == (True, 3)
    assert shard_bytes(out) == shard_bytes(undisturbed)


def test_a_damaged_shard_of_an_unfinished_build_is_made_again(
    tmp_path: Path, undisturbed: Path
) -> None:
    stack = StandInStack(StandInPainter(before=on_call(7, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(VOCABULARY, tmp_path, settings(), stack)
    victim = next((tmp_path / "shards").glob("*/features.parquet"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)

    report = build_bank(VOCABULARY, tmp_path, settings(), StandInStack())

    assert report.reused_shards == 2
    assert shard_bytes(tmp_path) == shard_bytes(undisturbed)


def test_a_persons_verdicts_outlive_the_next_build(out: Path) -> None:
    manifest = Bank(out).manifest
    image_id = pack_image_id(0, "diffusion", 2)
    verdict = Verdict(image_id, "rejected", "blurred", "person")
    record = write_verdicts(verdicts_folder(out) / "000002.parquet", [verdict])
    commit_manifest(out, manifest.model_copy(update={"version": 2, "verdicts": record}))

    report = build_bank(VOCABULARY, out, settings(images_per_category=5), StandInStack())

    bank = Bank(out)
    assert (report.version, report.rejected) == (3, 1)
    assert bank.verdicts == (verdict,)
    assert image_id not in bank.features().image_id
    assert bank.index().count == len(bank.features().feature_id) == 18
