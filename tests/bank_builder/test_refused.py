"""Builds that are refused: what differs, what is missing, who else is at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bank_builder.build import build_bank
from schemas.errors import BankError, ModelError, OutputError
from schemas.settings import Settings
from schemas.store.lock import build_lock
from schemas.store.manifests import list_versions, read_plan
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import (
    StandInPainter,
    StandInSegmenter,
    StandInStack,
    on_call,
    settings,
)

VOCABULARY = vocabulary_from_names(["fish, carp", "owl"])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished bank that may be changed."""
    build_bank(VOCABULARY, tmp_path / "bank", settings(), StandInStack())
    return tmp_path / "bank"


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


@pytest.mark.parametrize(("key", "own"), [("outlier_mads", 6.0), ("confusion_margin", 0.15)])
def test_another_way_of_comparing_images_is_a_difference_too(
    out: Path, key: str, own: float
) -> None:
    with pytest.raises(BankError, match=rf"reference\.{key}: {own} != 1\.5"):
        build_bank(VOCABULARY, out, with_reference(**{key: 1.5}), StandInStack())


def test_other_weights_under_the_same_name_are_refused(out: Path) -> None:
    with pytest.raises(ModelError, match=r"models\.text_to_image: expected the weights that made"):
        build_bank(VOCABULARY, out, settings(images_per_category=5), StandInStack(weights="f" * 64))

    assert list_versions(out) == [1]
    assert read_plan(out) is None


def test_missing_weights_end_the_build_before_anything_is_written(tmp_path: Path) -> None:
    class NoWeights(StandInStack):
        def fingerprints(self, roles: object = None) -> dict:
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
