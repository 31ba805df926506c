"""`rim eval`: scores of a bank and of anybody's label maps."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import accuracy_score, jaccard_score

import rim
from miniature.world import CATEGORIES, draw_scene
from rim.evaluation.label_sources import StoredLabels
from schemas.errors import OutputError, UsageError
from schemas.resources import vocabulary_path
from tests.rim.conftest import NAMES, Run, files_of
from tests.rim.evaluation.datasets.official import grey_png, lines, photo, write_voc

VOC = vocabulary_path("voc21").read_text("utf-8").split()
IMAGES = 4
SHAPE = (6, 7)


def truth(number: int) -> NDArray[np.uint8]:
    """Labels of VOC: background, three classes, the last one, and borders."""
    rng = np.random.default_rng(number)
    return rng.choice([0, 1, 2, 3, 20, 255], SHAPE).astype(np.uint8)


def guess(number: int) -> NDArray[np.uint8]:
    """A prediction that is right half of the time; 255 is unlabelled."""
    rng = np.random.default_rng(50 + number)
    wrong = rng.choice([0, 1, 2, 5, 20, 255], SHAPE)
    right = np.where(truth(number) == 255, 0, truth(number))
    return np.where(rng.random(SHAPE) < 0.5, right, wrong).astype(np.uint8)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """VOC with four images, and the predictions of another system in `predictions`."""
    write_voc(tmp_path, {f"2007_00000{n}": truth(n).tolist() for n in range(IMAGES)})
    for number in range(IMAGES):
        grey_png(tmp_path / "predictions" / f"2007_00000{number}.png", guess(number).tolist())
    lines(tmp_path / "predictions" / "classes.txt", VOC)
    return tmp_path


def arguments(voc: Path, dataset: str = "voc21") -> tuple[object, ...]:
    """The call that scores the predictions."""
    return (
        *("eval", "--dataset", dataset, "--root", voc),
        *("--predictions", voc / "predictions"),
    )


@pytest.mark.parametrize(("dataset", "first"), [("voc21", 0), ("voc20", 1)])
def test_scores_are_those_of_scikit_learn(run: Run, voc: Path, dataset: str, first: int) -> None:
    scores = run(*arguments(voc, dataset), "--json").json()
    true = np.concatenate([truth(n).ravel() for n in range(IMAGES)])
    guessed = np.concatenate([guess(n).ravel() for n in range(IMAGES)])
    scored = (true != 255) & (true >= first)
    true, guessed = true[scored].astype(int), guessed[scored].astype(int)
    # voc20 has no class background: what is called so is wrong, like what is unlabelled.
    guessed = np.where((guessed == 255) | (guessed < first), 99, guessed)
    present = sorted({*true.tolist(), *guessed.tolist()} - {99})
    iou = jaccard_score(true, guessed, labels=present, average=None)
    expected = {VOC[label]: value for label, value in zip(present, iou.tolist(), strict=True)}
    found = {name: value for name, value in scores["per_class"].items() if value is not None}
    assert found == pytest.approx(expected)
    assert list(scores["per_class"]) == VOC[first:]
    assert scores["miou"] == pytest.approx(iou.mean())
    assert scores["pixel_accuracy"] == pytest.approx(accuracy_score(true, guessed))
    in_truth = np.unique(true)
    recall = [(guessed[true == label] == label).mean() for label in in_truth]
    assert scores["mean_accuracy"] == pytest.approx(np.mean(recall))
    shares = [(true == label).mean() for label in in_truth]
    weighted = sum(
        share * expected[VOC[label]] for share, label in zip(shares, in_truth, strict=True)
    )
    assert scores["fw_iou"] == pytest.approx(weighted)
    assert (scores["images"], scores["pixels"]) == (IMAGES, len(true))
    assert (scores["missing"], scores["failed"]) == ([], [])


def test_a_perfect_prediction_scores_1(run: Run, voc: Path) -> None:
    for number in range(IMAGES):
        # The borders are not scored, whatever is predicted there.
        grey_png(voc / "predictions" / f"2007_00000{number}.png", truth(number).tolist())
    scores = run(*arguments(voc), "--json").json()
    assert [scores[key] for key in ("miou", "pixel_accuracy", "mean_accuracy", "fw_iou")] == [1] * 4


def test_what_is_left_behind(run: Run, voc: Path) -> None:
    out = voc / "out"
    outcome = run(*arguments(voc), "--out", out, "--pictures", voc / "figures", "--json")
    assert outcome.status == 0, outcome.err
    results = json.loads((out / "results.json").read_text("utf-8"))
    assert results["evaluation"]["dataset"] == {"name": "voc21", "split": "val"}
    assert results["evaluation"]["rim"] == rim.__version__
    assert {key: results[key] for key in outcome.json()} == outcome.json()
    table = pq.read_table(out / "per_class.parquet")
    assert table["class"].to_pylist() == VOC
    assert sum(table["truth_pixels"].to_pylist()) == results["pixels"]
    pictures = sorted((voc / "figures").iterdir())
    assert [path.name for path in pictures] == [f"2007_00000{n}.png" for n in range(IMAGES)]
    with Image.open(pictures[0]) as picture:
        assert picture.size == (3 * SHAPE[1] + 8, SHAPE[0])


def test_the_table(run: Run, voc: Path) -> None:
    out = run(*arguments(voc)).out
    assert "aeroplane" in out
    assert f"({IMAGES} images)" in out


def test_a_limit(run: Run, voc: Path) -> None:
    call = (*arguments(voc), "--limit", "2", "--pictures", voc / "figures", "--json")
    assert run(*call, "--pictures-count", "1").json()["images"] == 2
    assert len(list((voc / "figures").iterdir())) == 1


def test_unreadable_images_are_named_and_left_out(run: Run, voc: Path) -> None:
    masks = voc / "VOCdevkit" / "VOC2012" / "SegmentationClass"
    (masks / "2007_000001.png").write_bytes(b"no picture")
    (voc / "predictions" / "2007_000002.png").unlink()
    outcome = run(*arguments(voc), "--json")
    assert outcome.status == 3
    scores = outcome.json()
    assert scores["images"] == 2
    assert [one["image"] for one in scores["failed"]] == ["2007_000001", "2007_000002"]
    assert "2007_000001.png: expected a label map" in outcome.err
    assert "2007_000002.png: expected a label map file, found nothing" in outcome.err
    assert "(2 images, 2 left out)" in run(*arguments(voc)).out


def test_a_prediction_of_another_size_is_left_out(run: Run, voc: Path) -> None:
    grey_png(voc / "predictions" / "2007_000003.png", [[0, 0]])
    outcome = run(*arguments(voc), "--json")
    assert outcome.status == 3
    assert "2007_000003: expected a prediction of the truth's size (6, 7)" in outcome.err


def test_nothing_that_can_be_scored_is_a_wrong_call(run: Run, voc: Path) -> None:
    for number in range(IMAGES):
        (voc / "predictions" / f"2007_00000{number}.png").write_bytes(b"no picture")
    outcome = run(*arguments(voc))
    assert outcome.status == 2
    assert "expected at least one image to score, found none" in outcome.err


def test_predictions_that_lack_classes(run: Run, voc: Path) -> None:
    lines(voc / "predictions" / "classes.txt", VOC[:6])
    for number in range(IMAGES):
        labels = np.minimum(guess(number), 5)
        grey_png(voc / "predictions" / f"2007_00000{number}.png", labels.tolist())
    outcome = run(*arguments(voc))
    assert outcome.status == 2
    assert "found none for bus, car" in outcome.err
    scores = run(*arguments(voc), "--allow-missing", "--json").json()
    assert scores["missing"] == VOC[6:]
    assert scores["per_class"]["tvmonitor"] == 0, "it is in the truth"
    assert scores["per_class"]["train"] is None


def stop_at(monkeypatch: pytest.MonkeyPatch, image: str) -> list[str]:
    """Ctrl-C when this image is to be labelled; returns the names of those that are."""
    labelled: list[str] = []
    label = StoredLabels.label

    def interrupted(self: StoredLabels, sample: Any) -> NDArray[np.int32]:
        if sample.name == image:
            raise KeyboardInterrupt
        labelled.append(sample.name)
        return label(self, sample)

    monkeypatch.setattr(StoredLabels, "label", interrupted)
    return labelled


def test_ctrl_c_and_the_same_command_again(
    run: Run, voc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = (*arguments(voc), "--out", voc / "out", "--json")
    whole = run(*arguments(voc), "--json").json()
    with monkeypatch.context() as patch:
        before = stop_at(patch, "2007_000002")
        assert run(*call).status == 130
    after = stop_at(monkeypatch, "nothing")
    assert run(*call).json() == whole
    assert [*before, *after] == [f"2007_00000{n}" for n in range(IMAGES)]


def test_ctrl_c_without_a_folder_says_that_nothing_is_kept(
    run: Run, voc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, "2007_000002")
    outcome = run(*arguments(voc))
    assert outcome.status == 130
    assert "without --out an evaluation keeps nothing" in outcome.err


def test_predictions_made_anew_are_not_mixed_with_old_ones(run: Run, voc: Path) -> None:
    call = (*arguments(voc), "--out", voc / "out")
    assert run(*call).status == 0
    os.utime(voc / "predictions" / "2007_000003.png", ns=(1, 1))
    outcome = run(*call)
    assert outcome.status == 2
    assert "2007_000003 has changed since" in outcome.err
    assert run(*call, "--overwrite").status == 0


def test_pictures_of_a_finished_evaluation(run: Run, voc: Path) -> None:
    call = (*arguments(voc), "--out", voc / "out", "--json")
    scores = run(*call).json()
    assert run(*call, "--pictures", voc / "figures", "--pictures-count", "2").json() == scores
    assert len(list((voc / "figures").iterdir())) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "voc21"), "expected a BANK to label with, or --predictions DIR"),
        (("--dataset", "voc2"), "voc2"),
        (("--dataset", "voc20", "--predictions", "p"), "--dataset voc20 needs --root"),
        (("--dataset", "folder", "--images", "i"), "--dataset folder needs --masks, --classes"),
        (("--dataset", "miniature", "--root", "r"), "--root says nothing about"),
        (("--dataset", "voc20", "--root", "r", "--ignore", "9"), "--ignore says nothing about"),
        (("--dataset", "miniature", "--scenes", "0"), "scenes"),
        (("--dataset", "miniature", "--seed", "-1"), "seed"),
        ((), "--dataset"),
    ],
)
def test_wrong_calls(run: Run, options: tuple[str, ...], message: str) -> None:
    given = (*options, "--root", "r") if message.startswith("expected a BANK") else options
    outcome = run("eval", *given)
    assert outcome.status == 2
    assert message in outcome.err


def test_another_folder_than_the_benchmark(run: Run, voc: Path) -> None:
    outcome = run(
        "eval", "--dataset", "ade150", "--root", voc, "--predictions", voc / "predictions"
    )
    assert outcome.status == 2
    assert "ADEChallengeData2016 with images/validation, annotations/validation" in outcome.err
    assert "found VOCdevkit, predictions" in outcome.err


def test_pictures_never_replace_what_is_read(run: Run, voc: Path) -> None:
    before = files_of(voc)
    for folder in ("predictions", "VOCdevkit/VOC2012/SegmentationClass"):
        outcome = run(*arguments(voc), "--pictures", voc / folder)
        assert outcome.status == 2
        assert "2007_000000.png: the image would replace this file" in outcome.err
    outcome = run(*arguments(voc), "--pictures", voc / "predictions" / "classes.txt")
    assert "expected a folder for images, found a file" in outcome.err
    assert files_of(voc) == before


def test_settings_do_not_go_with_predictions(run: Run, voc: Path) -> None:
    outcome = run(*arguments(voc), "--matcher", "knn")
    assert outcome.status == 2
    assert "leave out --matcher" in outcome.err


def test_a_bank_on_scenes(run: Run, built: Path, opened: rim.Bank, tmp_path: Path) -> None:
    call = ("eval", built, "--dataset", "miniature", "--seed", "5", "--out", tmp_path / "out")
    first = run(*call, "--scenes", "1")
    assert first.status == 0
    assert first.err.splitlines()[:3] == [
        "scoring loading features",
        "scoring loading segmenter",
        "scoring first image",
    ]
    outcome = run(*call, "--scenes", "3", "--json")
    scores = outcome.json()
    assert set(scores) >= {"miou", "pixel_accuracy", "mean_accuracy", "fw_iou", "per_class"}
    assert set(scores["per_class"]) == set(NAMES)
    assert 0 <= scores["miou"] <= 1
    same = rim.evaluate(opened, "miniature", scenes=3, seed=5)
    assert same.to_dict() == scores, "also if it was counted in two runs"
    assert f"mIoU {scores['miou']:.3f}" in run(*call, "--scenes", "3").out
    groups = pq.read_table(tmp_path / "out" / "per_class.parquet").to_pydict()
    assert dict(zip(groups["class"], groups["group"], strict=True)) == {
        "house": "thing",
        "fish": "thing",
        "grass": "stuff",
        "sky": "stuff",
    }
    with pytest.raises(OutputError, match=r"expected settings\.matching\.neighbours 1, found"):
        rim.evaluate(
            opened,
            "miniature",
            scenes=3,
            seed=5,
            settings=["matching.neighbours=1"],
            out=tmp_path / "out",
        )
    with pytest.raises(OutputError, match=r"expected dataset\.seed 6, found 5"):
        rim.evaluate(opened, "miniature", scenes=3, seed=6, out=tmp_path / "out")


@pytest.mark.slow
def test_a_bank_on_a_folder_and_its_saved_labels(
    run: Run, built: Path, opened: rim.Bank, tmp_path: Path
) -> None:
    scene = draw_scene(11, (96, 128), things=("house", "fish"))
    to_label = {name: index for index, name in enumerate(("sky", "grass", "fish", "house"))}
    table = np.full(len(CATEGORIES) + 1, 255, np.uint8)
    for name, index in to_label.items():
        table[CATEGORIES.index(name)] = index
    photo(tmp_path / "images" / "scene.jpg", [[0]])
    Image.fromarray(scene.image).save(tmp_path / "images" / "scene.png")
    (tmp_path / "images" / "scene.jpg").unlink()
    grey_png(tmp_path / "masks" / "scene.png", table[scene.labels].tolist())
    data = ("--dataset", "folder", "--images", tmp_path / "images", "--masks", tmp_path / "masks")
    names = lines(tmp_path / "classes.txt", list(to_label))
    scores = run("eval", built, *data, "--classes", names, "--json").json()
    assert list(scores["per_class"]) == list(to_label)
    query = ("query", built, tmp_path / "images", "--out", tmp_path / "labels")
    assert run(*query, "--background", "off").status == 0
    saved = (*data, "--classes", names, "--predictions", tmp_path / "labels", "--json")
    assert run("eval", built, *saved).json() == scores
    more = lines(tmp_path / "more.txt", [*to_label, "whale"])
    outcome = run("eval", built, *data, "--classes", more)
    assert outcome.status == 2
    assert "found none for whale" in outcome.err
    again = run("eval", built, *data, "--classes", more, "--allow-missing", "--json").json()
    assert again["missing"] == ["whale"]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [("sky", "grass"), ("background", "sky", "grass")])
def test_whether_everything_is_named_follows_from_the_classes(
    run: Run, built: Path, tmp_path: Path, classes: tuple[str, ...]
) -> None:
    """Without a class "background" the threshold is off; with it, the house and fish are that."""
    scene = draw_scene(11, (96, 128), things=("house", "fish"))
    photo(tmp_path / "images" / "scene.png", [[0]])
    Image.fromarray(scene.image).save(tmp_path / "images" / "scene.png")
    table = np.full(len(CATEGORIES) + 1, 0 if classes[0] == "background" else 255, np.uint8)
    for index, name in enumerate(classes):
        if name in CATEGORIES:
            table[CATEGORIES.index(name)] = index
    grey_png(tmp_path / "masks" / "scene.png", table[scene.labels].tolist())
    names = lines(tmp_path / "classes.txt", list(classes))
    call = ("eval", built, "--dataset", "folder", "--images", tmp_path / "images",
            "--masks", tmp_path / "masks", "--classes", names, "--json")  # fmt: skip
    usual, named, cut = (
        run(*call, *more).json() for more in ((), ("--background", "off"), ("--background", "auto"))
    )
    if classes[0] == "background":
        assert usual == cut
        assert usual["per_class"]["background"] > 0.5 > named["per_class"]["background"]
    else:
        assert usual == named


def test_a_bank_is_not_changed(built: Path, opened: rim.Bank, voc: Path) -> None:
    before = files_of(built)
    with pytest.raises(UsageError, match="found none for aeroplane"):
        rim.evaluate(opened, "voc20", root=voc)
    with pytest.raises(OutputError, match="found a bank"):
        rim.evaluate(opened, "miniature", out=built)
    assert files_of(built) == before
