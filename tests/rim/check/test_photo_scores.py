"""Scoring labels of the photographs: by stand-ins that return the hand masks, or something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rim.check.findings import NotApplicable
from rim.check.meaning import photographs, photographs_labelled_by
from rim.check.photos import CheckPhoto, read_check_data, score_photo
from schemas.errors import UsageError
from tests.bank_builder.stand_in import StandInStack
from tests.rim.check.benches import miniature_bench, stand_in_bench, with_categories

DATA = read_check_data()
NAMES = [one.name for one in DATA.categories]
IDS = dict(enumerate(NAMES, start=10))


@dataclass(frozen=True)
class Labelled:
    label_map: NDArray[np.int32]
    category_names: Mapping[int, str]

    def overlay(self) -> NDArray[np.uint8]:
        return np.zeros((*self.label_map.shape, 3), np.uint8)


@dataclass(frozen=True)
class ByHand:
    """Labels a photograph with its own masks, the names changed by `called`."""

    called: Callable[[str], str | None]

    def segment(self, image: Path) -> Labelled:
        photo = next(one for one in DATA.photos if one.file == image.name)
        return Labelled(labels(photo, self.called), IDS)


def labels(photo: CheckPhoto, called: Callable[[str], str | None]) -> NDArray[np.int32]:
    found = np.full(photo.size, -1, np.int32)
    for name in photo.categories:
        other = called(name)
        if other is not None:
            found[photo.mask(name)] = next(key for key, value in IDS.items() if value == other)
    return found


def test_the_hand_masks_themselves_score_1(tmp_path: Path) -> None:
    bench = with_categories(stand_in_bench(tmp_path, StandInStack()), NAMES)
    finding = photographs_labelled_by(ByHand(lambda name: name), bench)
    assert finding.fine
    assert finding.found == "mean IoU 1.00"
    assert finding.numbers["cat in chelsea.png"] == 1
    assert len(finding.numbers) == len(NAMES) + 1
    assert len(finding.images) == len(DATA.photos)


@pytest.mark.parametrize(
    "called",
    [lambda name: NAMES[NAMES.index(name) - 1], lambda name: None, lambda name: "cat"],
    ids=["names shuffled", "nothing labelled", "everything a cat"],
)
def test_wrong_labels_are_found(tmp_path: Path, called: Callable[[str], str | None]) -> None:
    bench = with_categories(stand_in_bench(tmp_path, StandInStack()), NAMES)
    finding = photographs_labelled_by(ByHand(called), bench)
    assert not finding.fine
    assert "motorcycle in motorcycle_left.png" in finding.found


def test_iou_by_counting() -> None:
    photo = next(one for one in DATA.photos if one.file == "coffee.png")
    mask, scored = photo.mask("cup of coffee"), photo.scored()
    names = {0: "cup of coffee"}
    everywhere = np.zeros(photo.size, np.int32)
    expected = np.count_nonzero(mask) / np.count_nonzero(scored)
    assert score_photo(photo, everywhere, names)["cup of coffee"] == pytest.approx(expected)
    # What is said of ignored pixels makes no difference.
    ignored_too = np.where(mask | ~scored, 0, -1).astype(np.int32)
    assert score_photo(photo, ignored_too, names) == {"cup of coffee": 1}
    half = np.where(mask & (np.arange(photo.size[1]) < 290), 0, -1).astype(np.int32)
    share = np.count_nonzero(half == 0) / np.count_nonzero(mask)
    assert 0.3 < share < 0.7
    assert score_photo(photo, half, names)["cup of coffee"] == pytest.approx(share)


def test_labels_of_another_size_are_an_error() -> None:
    with pytest.raises(UsageError, match=r"chelsea.png: expected labels \(300, 451\), found"):
        score_photo(DATA.photos[0], np.zeros((3, 4), np.int32), IDS)


def test_a_generator_that_knows_few_of_the_names_has_no_photographs(tmp_path: Path) -> None:
    bench = miniature_bench(tmp_path)
    with pytest.raises(NotApplicable, match="knows 3 of the 9 names that the photographs need"):
        photographs(bench)
