"""A person's verdicts: what they change, what they outlive, what they are refused for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bank_builder.build import build_bank
from bank_builder.removal import remove_categories
from bank_builder.review import give_verdicts, take_back_verdicts
from bank_builder.sources.diffusion import image_seed
from schemas.errors import BankError, OutputError, UsageError
from schemas.ids import pack_image_id
from schemas.store.bank import StoredBank
from schemas.store.lock import build_lock
from schemas.store.manifests import list_versions
from schemas.store.verdicts import Verdict
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.equal import assert_equal, facts, shard_files
from tests.bank_builder.stand_in import (
    StandInPainter,
    StandInStack,
    add_categories,
    on_seeds,
    settings,
)

VOCABULARY = vocabulary_from_names(["fish, carp", "owl"])
FISH_1, FISH_2 = pack_image_id(0, "diffusion", 1), pack_image_id(0, "diffusion", 2)
OWL_0 = pack_image_id(1, "diffusion", 0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bank; to be looked at only."""
    out = tmp_path_factory.mktemp("finished") / "bank"
    build_bank(VOCABULARY, out, settings(), StandInStack())
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(finished, tmp_path / "bank"))


def astray(out: Path) -> Path:
    """A bank whose owls are all rejected: the attention was beside them."""
    stack = StandInStack(StandInPainter(astray=frozenset({"owl"})))
    build_bank(VOCABULARY, out, settings(), stack)
    return out


def status(bank: StoredBank, image_id: int) -> tuple[str, str | None]:
    rows = bank.images_table(["image_id", "status", "reason"]).to_pylist()
    return {row["image_id"]: (row["status"], row["reason"]) for row in rows}[image_id]


def test_what_is_rejected_stays_with_its_reason_and_names_nothing(out: Path) -> None:
    before = shard_files(out)

    change = give_verdicts(out, [FISH_1, np.int64(OWL_0), FISH_1], "rejected", "a drawing")

    bank = StoredBank(out)
    assert (change.changed, change.unchanged, change.emptied) == ((FISH_1, OWL_0), (), ())
    assert (change.bank.version, change.bank.rejected, change.bank.features) == (2, 2, 12)
    assert status(bank, FISH_1) == status(bank, OWL_0) == ("rejected", "a drawing")
    assert not {FISH_1, OWL_0} & set(bank.features().image_id.tolist())
    assert bank.index().count == 12
    assert bank.prototypes().references.max() == 3
    assert len(bank.png([FISH_1])) == 1
    assert shard_files(out) == before
    assert StoredBank(out, version=1).index().count == 16


def test_without_a_reason_it_says_by_whom(out: Path) -> None:
    give_verdicts(out, [FISH_1], "rejected")
    assert status(StoredBank(out), FISH_1) == ("rejected", "rejected by a person")


def test_accepting_what_was_rejected_leaves_what_there_was(out: Path, tmp_path: Path) -> None:
    before = shutil.copytree(out, tmp_path / "before")
    give_verdicts(out, [FISH_1], "rejected")

    change = give_verdicts(out, [FISH_1], "accepted")

    assert change.changed == (FISH_1,)
    assert_equal(StoredBank(out), StoredBank(before))
    assert StoredBank(out).verdicts == (Verdict(FISH_1, "accepted", None, "person"),)


def test_accepting_brings_back_what_the_build_rejected(tmp_path: Path) -> None:
    out = astray(tmp_path)
    assert not (StoredBank(out).features().category_id == 1).any()

    change = give_verdicts(out, [OWL_0], "accepted")

    bank = StoredBank(out)
    assert (change.bank.accepted, change.bank.categories_without_feature) == (5, ())
    assert status(bank, OWL_0) == ("accepted", None)
    assert set(bank.features().image_id[bank.features().category_id == 1].tolist()) == {OWL_0}


def test_accepting_stands_above_an_outlier_that_was_found(tmp_path: Path) -> None:
    odd = image_seed(0, "fish", 5)
    stack = StandInStack(StandInPainter(odd=lambda seed: seed == odd))
    alone = vocabulary_from_names(["fish"])
    build_bank(alone, tmp_path, settings(images_per_category=9), stack)
    image_id = pack_image_id(0, "diffusion", 5)
    assert "outlier" in str(status(StoredBank(tmp_path), image_id)[1])

    give_verdicts(tmp_path, [image_id], "accepted")
    assert status(StoredBank(tmp_path), image_id) == ("accepted", None)
    assert image_id in StoredBank(tmp_path).features().image_id

    change = take_back_verdicts(tmp_path, [image_id], "accepted")
    assert change.changed == (image_id,)
    assert "outlier" in str(status(StoredBank(tmp_path), image_id)[1])
    assert_equal(StoredBank(tmp_path), StoredBank(tmp_path, version=1))


def test_taken_back_the_automatic_verdict_counts_again(out: Path, tmp_path: Path) -> None:
    before = shutil.copytree(out, tmp_path / "before")
    give_verdicts(out, [FISH_1, FISH_2], "rejected")

    change = take_back_verdicts(out, [FISH_1, FISH_2, OWL_0], "rejected")

    assert (change.changed, change.unchanged) == ((FISH_1, FISH_2), (OWL_0,))
    assert StoredBank(out).manifest.verdicts is None
    assert_equal(StoredBank(out), StoredBank(before))


def test_the_same_again_makes_no_version(out: Path) -> None:
    give_verdicts(out, [FISH_1], "rejected", "blurred")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    for again in (
        give_verdicts(out, [FISH_1], "rejected", "blurred"),
        give_verdicts(out, [FISH_1], "rejected"),
        take_back_verdicts(out, [OWL_0], "accepted"),
    ):
        assert (again.changed, again.bank.changed, again.bank.version) == ((), False, 2)
        assert len(again.unchanged) == 1
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    assert give_verdicts(out, [FISH_1], "rejected", "no fish").bank.version == 3
    assert status(StoredBank(out), FISH_1) == ("rejected", "no fish")


def test_they_outlive_builds_additions_and_removals(out: Path) -> None:
    give_verdicts(out, [FISH_1], "rejected", "blurred")
    give_verdicts(out, [OWL_0], "accepted")
    verdicts = StoredBank(out).verdicts

    build_bank(VOCABULARY, out, settings(images_per_category=6), StandInStack())
    assert StoredBank(out).verdicts == verdicts
    grown = vocabulary_from_names(["fish, carp", "owl", "bee"])
    build_bank(grown, out, settings(images_per_category=6), StandInStack())
    assert StoredBank(out).verdicts == verdicts
    add_categories(["ant"], out, StandInStack())
    assert StoredBank(out).verdicts == verdicts
    remove_categories(out, ["bee"])
    bank = StoredBank(out)
    assert bank.verdicts == verdicts
    assert status(bank, FISH_1) == ("rejected", "blurred")
    assert FISH_1 not in bank.features().image_id
    assert facts(bank)["fish", "diffusion", 1]["status"] == "rejected"


def test_a_category_that_is_left_without_a_feature_is_named_once(out: Path) -> None:
    owls = [pack_image_id(1, "diffusion", number) for number in range(4)]

    assert give_verdicts(out, owls[:3], "rejected").emptied == ()
    assert give_verdicts(out, owls, "rejected").emptied == ("owl",)
    assert give_verdicts(out, [FISH_1], "rejected").emptied == ()
    assert take_back_verdicts(out, owls, "rejected").bank.categories_without_feature == ()


@pytest.mark.parametrize("image_id", [pack_image_id(0, "diffusion", 4), 3 << 24, 1 << 70, -1])
def test_an_unknown_image_is_refused_and_nothing_changes(out: Path, image_id: int) -> None:
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    for change in (give_verdicts, take_back_verdicts):
        with pytest.raises(UsageError, match=rf"found {image_id}; nothing was changed"):
            change(out, [FISH_1, image_id], "rejected")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_an_image_of_a_removed_category_is_unknown(out: Path) -> None:
    remove_categories(out, ["fish"])
    with pytest.raises(UsageError, match=f"found {FISH_1}"):
        give_verdicts(out, [FISH_1], "rejected")


@pytest.mark.parametrize("verdict", ["accepted", "rejected"])
def test_a_failed_image_is_refused(tmp_path: Path, verdict: str) -> None:
    bad = image_seed(0, "fish", 1)
    stack = StandInStack(StandInPainter(before=on_seeds(bad)))
    build_bank(VOCABULARY, tmp_path, settings(), stack)
    with pytest.raises(UsageError, match=rf"{FISH_1} failed \(generating.*--retry-failed"):
        give_verdicts(tmp_path, [FISH_2, FISH_1], verdict)
    assert list_versions(tmp_path) == [1]


def test_an_image_without_a_mask_cannot_be_accepted_and_why(tmp_path: Path) -> None:
    black = image_seed(0, "fish", 2)
    stack = StandInStack(StandInPainter(flagged=lambda seed: seed == black))
    build_bank(VOCABULARY, tmp_path, settings(), stack)

    give_verdicts(tmp_path, [FISH_2], "rejected", "too dark for me")

    with pytest.raises(UsageError, match=rf"{FISH_2} cannot be accepted.*black image \(safety"):
        give_verdicts(tmp_path, [FISH_1, FISH_2], "accepted")
    assert take_back_verdicts(tmp_path, [FISH_2], "rejected").changed == (FISH_2,)
    assert status(StoredBank(tmp_path), FISH_2)[1] == "black image (safety checker)"


def test_taking_back_the_opposite_is_a_mistake(out: Path) -> None:
    give_verdicts(out, [FISH_1], "accepted")
    with pytest.raises(UsageError, match=f"person rejected, but {FISH_1} was accepted"):
        take_back_verdicts(out, [FISH_2, FISH_1], "rejected")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "\x1b[2J", "a\u202eb", "\udc80"])
def test_a_reason_is_one_line_of_text(out: Path, reason: str) -> None:
    with pytest.raises(UsageError, match="expected a reason"):
        give_verdicts(out, [FISH_1], "rejected", reason)
    assert list_versions(out) == [1]


@pytest.mark.parametrize(
    ("image_ids", "message"),
    [
        ([], "found none"),
        (5, "list of image_ids"),
        ("5", "list of image_ids"),
        (["5"], "whole numbers"),
        ([1.0], "whole numbers"),
    ],
)
def test_ids_are_whole_numbers(out: Path, image_ids: Sequence[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        give_verdicts(out, image_ids, "accepted")


def test_it_wants_a_bank_and_its_turn(out: Path, tmp_path: Path) -> None:
    with pytest.raises(BankError, match="found nothing there"):
        give_verdicts(tmp_path / "nowhere", [1], "rejected")
    with build_lock(out), pytest.raises(OutputError, match="another process"):
        give_verdicts(out, [FISH_1], "rejected")
    assert not (tmp_path / "nowhere").exists()
