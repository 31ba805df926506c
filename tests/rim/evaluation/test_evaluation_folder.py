"""An evaluation that is interrupted goes on where it was, and never mixes with another one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from rim.evaluation.class_mapping import map_classes
from rim.evaluation.counting import ConfusionCounts, count_items
from rim.evaluation.datasets.base import Item, Sample
from rim.evaluation.evaluation_folder import RESULTS, STATE, evaluation_folder
from rim.evaluation.scores import Scores
from schemas.errors import ImageError, OutputError
from schemas.records import CategoryRecord

CATEGORIES = [CategoryRecord(category_id=i, name=name) for i, name in enumerate(("cat", "dog"))]
MAPPING = map_classes(CATEGORIES, ["cat", "dog"])
IDENTITY = {"bank": {"digest": "b5"}, "matching": {"matcher": "knn", "neighbours": 5}}


def items(count: int = 6, mark: str = "") -> list[Item]:
    """Images of random truths; the same for the same number."""

    def load(number: int) -> Sample:
        truth = np.random.default_rng(number).integers(-1, 2, (5, 4))
        return Sample(f"photo {number}", np.full((5, 4, 3), number, np.uint8), truth)

    return [Item(f"photo {n}", lambda n=n: load(n), mark) for n in range(count)]  # type: ignore[misc]


class Labels:
    """Labels each photo in its own way; Ctrl-C instead of photo `stop`; photo `bad` is damaged."""

    def __init__(self, stop: int = -1, bad: int = -1) -> None:
        self.stop, self.bad = stop, bad
        self.labelled: list[int] = []

    def __call__(self, sample: Sample) -> NDArray[np.int32]:
        assert isinstance(sample.image, np.ndarray)
        number = int(sample.image[0, 0, 0])
        if number == self.stop:
            raise KeyboardInterrupt
        if number == self.bad:
            raise ImageError(f"{sample.name} is damaged")
        self.labelled.append(number)
        return np.random.default_rng(100 + number).integers(-1, 2, (5, 4)).astype(np.int32)


def run(folder: Path, labels: Labels, **changes: Any) -> Scores:
    wanted: list[Item] = changes.get("items", items())
    with evaluation_folder(
        folder,
        changes.get("identity", IDENTITY),
        wanted,
        2,
        overwrite=changes.get("overwrite", False),
    ) as opened:
        counts = count_items(
            wanted, labels, MAPPING, start=opened.earlier, on_counted=opened.save_counts
        )
        scores = counts.scores(MAPPING)
        opened.save_results(scores, ("pet", "pet"))
    return scores


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_after_ctrl_c_only_the_rest_is_labelled(tmp_path: Path, stop: int) -> None:
    whole = run(tmp_path / "whole", Labels())
    first, second = Labels(stop=stop), Labels()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", first)
    assert not (tmp_path / "out" / RESULTS).exists()
    assert run(tmp_path / "out", second) == whole
    assert [*first.labelled, *second.labelled] == [0, 1, 2, 3, 4, 5], "no photo twice"
    for name in (RESULTS, "per_class.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_killed_process_loses_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the write at the end, what was written after the images is still there."""
    monkeypatch.setattr("rim.evaluation.evaluation_folder.SECONDS_BETWEEN_WRITES", 0.0)
    with evaluation_folder(tmp_path, IDENTITY, items(), 2, overwrite=False) as opened:

        def save(counts: ConfusionCounts, last: bool) -> None:
            if not last:
                opened.save_counts(counts, False)

        with pytest.raises(KeyboardInterrupt):
            count_items(items(), Labels(stop=4), MAPPING, on_counted=save)
    rest = Labels()
    run(tmp_path, rest)
    assert rest.labelled == [4, 5]


def test_a_finished_evaluation_labels_nothing_again(tmp_path: Path) -> None:
    scores = run(tmp_path, Labels())
    again = Labels()
    assert run(tmp_path, again) == scores
    assert again.labelled == []


def test_more_images_may_be_asked_for_but_not_fewer(tmp_path: Path) -> None:
    run(tmp_path, Labels(), items=items(2))
    rest = Labels()
    assert run(tmp_path, rest) == run(tmp_path / "whole", Labels())
    assert rest.labelled == [2, 3, 4, 5]
    with pytest.raises(OutputError, match="more images than these 3, such as photo 3; raise"):
        run(tmp_path, Labels(), items=items(3))


def test_damaged_images_are_tried_again(tmp_path: Path) -> None:
    first = run(tmp_path, Labels(bad=2))
    assert [(one.name, one.error) for one in first.failed] == [("photo 2", "photo 2 is damaged")]
    assert first.images == 5
    repaired = Labels()
    assert run(tmp_path, repaired) == run(tmp_path / "whole", Labels(), items=_moved(2))
    assert repaired.labelled == [2]


def test_failures_of_earlier_counts_are_forgotten() -> None:
    earlier = count_items(items(), Labels(bad=2), MAPPING)
    assert len(earlier.failed) == 1
    assert count_items(items(), Labels(), MAPPING, start=earlier).failed == ()


def _moved(number: int) -> list[Item]:
    return [*(one for one in items() if one.name != f"photo {number}"), items()[number]]


def test_another_evaluation_is_refused_by_what_differs(tmp_path: Path) -> None:
    run(tmp_path, Labels())
    other = {**IDENTITY, "matching": {"matcher": "prototype", "neighbours": 5}}
    with pytest.raises(
        OutputError, match=r'expected matching\.matcher "prototype", found "knn"; choose another'
    ):
        run(tmp_path, Labels(), identity=other)
    again = Labels()
    run(tmp_path, again, identity=other, overwrite=True)
    assert again.labelled == [0, 1, 2, 3, 4, 5]


def test_changed_files_are_refused(tmp_path: Path) -> None:
    run(tmp_path, Labels())
    with pytest.raises(OutputError, match="other files: photo 0 has changed since"):
        run(tmp_path, Labels(), items=items(mark="another size"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nonsense"])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE).write_bytes(content)
    with pytest.raises(OutputError, match=r"state\.npz: .* damaged .* --overwrite"):
        run(tmp_path, Labels())
    run(tmp_path, Labels(), overwrite=True)


def test_a_truncated_state_is_refused(tmp_path: Path) -> None:
    run(tmp_path, Labels())
    whole = (tmp_path / STATE).read_bytes()
    os.truncate(tmp_path / STATE, len(whole) // 2)
    with pytest.raises(OutputError, match="damaged"):
        run(tmp_path, Labels())


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        evaluation_folder(tmp_path, IDENTITY, items(), 2, overwrite=False),
        pytest.raises(OutputError, match="another process"),
        evaluation_folder(tmp_path, IDENTITY, items(), 2, overwrite=False),
    ):
        pass
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(OutputError, match="found a file"),
        evaluation_folder(tmp_path / "file", IDENTITY, items(), 2, overwrite=False),
    ):
        pass


def test_the_table_of_classes(tmp_path: Path) -> None:
    scores = run(tmp_path, Labels())
    rows = pq.read_table(tmp_path / "per_class.parquet").to_pylist()
    cat = scores.classes[0]
    assert rows[0] == {
        "class": "cat",
        "group": "pet",
        "iou": cat.iou,
        "accuracy": cat.accuracy,
        "truth_pixels": cat.truth_pixels,
        "predicted_pixels": cat.predicted_pixels,
        "intersection": cat.intersection,
        "missing": False,
    }
    assert [row["class"] for row in rows] == ["cat", "dog"]
    assert cat.iou == cat.intersection / (
        cat.truth_pixels + cat.predicted_pixels - cat.intersection
    )


def test_images_may_be_labelled_again_for_comparisons_without_counting_twice() -> None:
    whole = count_items(items(), Labels(), MAPPING)
    labels = Labels()
    seen: list[str] = []
    again = count_items(
        items(),
        labels,
        MAPPING,
        start=whole,
        label_again={"photo 3"},
        on_labelled=lambda sample, prediction: seen.append(sample.name),
    )
    assert (labels.labelled, seen) == ([3], ["photo 3"])
    assert again.scores(MAPPING) == whole.scores(MAPPING)
