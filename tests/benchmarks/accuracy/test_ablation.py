"""The ablation: what rows name regions by, what they score, and that a run goes on."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import rim
from bank_builder.localise import localise, min_max_scaled
from bank_builder.points import sample_points
from benchmarks.accuracy import ablation
from benchmarks.accuracy.caching import CachingStack
from benchmarks.accuracy.classes import OTHER, Classes, group_means
from benchmarks.accuracy.measuring import BankMeasure, Measurement, vocabularies
from benchmarks.accuracy.prompting import Prompting
from benchmarks.accuracy.reference_sets import (
    ATTENTION,
    BANK,
    EVERYTHING,
    FOUND,
    PLANTED,
    TRUE_MASKS,
    WORLD,
    ReferenceSets,
    first,
    prompted,
)
from benchmarks.accuracy.references import as_bank_features
from benchmarks.accuracy.report import Ablation, Result, Spread, plot_over_k
from benchmarks.accuracy.rows import (
    BY_TEXT,
    DEFAULT,
    K_GROUP,
    ON_TRUE_MASKS,
    AblationRow,
    ablation_rows,
)
from benchmarks.accuracy.scenes import Cut, CutScenes, cut_along, true_regions
from benchmarks.accuracy.state import MeasuredRows, measurement_key
from benchmarks.accuracy.stored import restored
from benchmarks.accuracy.text_baseline import cut_outs, text_labels
from foundation.images.pooling import pool_regions
from foundation.stack import ModelStack
from miniature.training.judge import Judge, save_judge
from miniature.training.train_judge import judge_weights
from miniature.world import CATEGORIES, draw_scene
from query.classification import Classifier
from query.labelling import PhotoLabeller
from query.text_similarity import TextSimilarity
from schemas.errors import BankError
from schemas.ids import (
    BACKGROUND,
    FOREGROUND,
    pack_feature_id,
    pack_image_id,
    unpack_image_id,
)
from schemas.records import CategoryRecord
from schemas.sections import Localisation, Matching
from schemas.settings import Settings
from schemas.store.bank import BankFeatures

NAMES = ("house", "bird", "grass", "sky")
SEED = 3


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> rim.Bank:
    """Four images a category, accepted whatever they show."""
    gates = ("min_quality", "min_agreement", "min_area")
    settings = [f"reference.{gate}=0" for gate in gates]
    folder = tmp_path_factory.mktemp("banks") / "bank"
    return rim.build(NAMES, folder, images_per_category=4, steps=2, seed=SEED, settings=settings)


@pytest.fixture(scope="module")
def model() -> Judge:
    torch.manual_seed(0)
    return Judge().eval()


@pytest.fixture(scope="module")
def stack(bank: rim.Bank) -> ModelStack:
    return ModelStack(bank.settings, "cpu", offline=True)


@pytest.fixture(scope="module")
def sets(bank: rim.Bank, stack: ModelStack, model: Judge) -> ReferenceSets:
    return ReferenceSets(bank, stack, lambda: model)


@pytest.fixture(scope="module")
def settings(bank: rim.Bank) -> Settings:
    return ablation.closed_settings(bank, "miniature")


@pytest.fixture(scope="module")
def scenes(bank: rim.Bank, settings: Settings, stack: ModelStack) -> CutScenes:
    return ablation.cut_scenes(bank, settings, CachingStack(stack), 2, seed=9)


@pytest.fixture(scope="module")
def measure(
    bank: rim.Bank, settings: Settings, sets: ReferenceSets, scenes: CutScenes, stack: ModelStack
) -> BankMeasure:
    return BankMeasure(bank, settings, sets, scenes, CachingStack(stack))


def images_of(features: BankFeatures, role: int = FOREGROUND) -> list[int]:
    return [int(image) for image in features.image_id[features.role == role]]


def by_image(features: BankFeatures, role: int) -> dict[int, bytes]:
    rows = np.flatnonzero(features.role == role)
    return {int(features.image_id[row]): features.embeddings[row].tobytes() for row in rows}


# Scenes


def test_the_true_regions_cover_their_scene_and_are_pooled_as_in_a_query() -> None:
    scene = draw_scene(7)
    tokens = np.random.default_rng(0).standard_normal((16, 16, 8)).astype(np.float32)
    masks = true_regions(scene)

    photo = cut_along(scene.image, tokens, masks)

    assert not photo.partition.uncovered.any()
    np.testing.assert_array_equal(photo.features, pool_regions(tokens, masks)[0])
    assert photo.areas.sum() == scene.labels.size  # they do not overlap either
    empty = np.zeros((1, *scene.labels.shape), bool)
    assert len(cut_along(scene.image, tokens, np.concatenate([masks, empty])).regions) == len(masks)


@pytest.mark.slow
def test_scenes_cut_together_are_cut_as_by_an_engine_alone(
    bank: rim.Bank, settings: Settings, stack: ModelStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = []
    embed = type(stack.segmenter).embed

    def counted(segmenter: Any, image: NDArray[np.uint8]) -> Any:
        embedded.append(image)
        return embed(segmenter, image)

    monkeypatch.setattr(type(stack.segmenter), "embed", counted)
    scenes = ablation.cut_scenes(bank, settings, CachingStack(stack), 2, seed=9)
    scenes.prepare()
    assert len(embedded) == 2  # one each, for both ways

    ways: tuple[tuple[Cut, float], ...] = (("sam", settings.proposals.fuse), ("fused", 0.9))
    for cut, fuse in ways:
        engine = bank.engine(overrides=(f"proposals.fuse={fuse}",), offline=True)
        for scene, photo in zip(scenes.scenes, scenes.photos(cut), strict=True):
            alone = engine.cut(scene.image)
            assert [one.mask for one in photo.regions] == [one.mask for one in alone.regions]
            np.testing.assert_allclose(photo.features, alone.features, atol=1e-6)
    assert len(scenes.photos("fused")[0].regions) <= len(scenes.photos("sam")[0].regions)


# Classes


def records(names: Sequence[str]) -> list[CategoryRecord]:
    return [
        CategoryRecord(category_id=10 * i, name=name, synonyms=()) for i, name in enumerate(names)
    ]


def test_what_is_left_out_of_the_vocabulary_is_background_in_the_truth() -> None:
    scene = draw_scene(0)
    labels = np.array([[0, 2, 16], [17, -1, 1]], np.int32)  # house, tree, grass; sky, none, fish
    scene = replace(scene, labels=labels)
    classes = Classes.leaving_out(records(["grass", "house", "sky"]), ["sky"])
    assert classes.names == ("house", "grass", OTHER)
    assert classes.category_ids == {0, 10}
    # What the bank never had (tree, fish) is ignored, what was left out is not.
    assert classes.of_truth[scene.labels].tolist() == [[0, -1, 1], [2, -1, -1]]

    labelled = np.array([[10, 10, 10], [-1, 0, 0]], np.int32)
    scores = classes.score([(labelled, scene)])

    assert scores.per_class == {"house": 0.5, "grass": 0.0, OTHER: 1.0}
    assert scores.miou == pytest.approx(0.5)
    assert Classes.closed(records(["grass", "house"])).of_category[[0, 10, -1]].tolist() == [
        1,
        0,
        -1,
    ]


def test_groups_have_the_mean_of_the_classes_that_occur() -> None:
    scene = replace(draw_scene(0), labels=np.array([[0, 1, 16, 16]], np.int32))
    classes = Classes.closed(records(["house", "fish", "grass", "sky"]))
    scores = classes.score([(np.array([[0, 0, 20, -1]], np.int32), scene)])
    means = group_means(scores)
    assert means["familiar"] == pytest.approx((0.5 + 0) / 2)
    assert means["stuff"] == pytest.approx(0.5)  # sky is nowhere
    assert means["mIoU"] == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert np.isnan(means["novel"])


def test_vocabularies_are_always_the_same() -> None:
    left_out = vocabularies(CATEGORIES)
    assert left_out == vocabularies(CATEGORIES)
    assert [len(one) for one in left_out] == [7] * 4
    assert len(set(left_out)) == 4
    assert all(one < set(CATEGORIES) for one in left_out)


# Prompt points


@pytest.mark.parametrize("choice", ["algorithm", "random", "maximum"])
def test_points_lie_in_the_foreground_and_differ(choice: Any) -> None:
    attention = np.random.default_rng(1).random((8, 8), np.float32)
    found = localise(attention, (32, 32), Localisation())
    points = Prompting(8, choice).points(found, image_id=5)
    assert points.shape == (8, 2)
    assert points.dtype == np.int32
    assert found.binary[points[:, 1], points[:, 0]].all()
    assert len(np.unique(points, axis=0)) == 8
    again = Prompting(8, choice).points(found, image_id=5)
    np.testing.assert_array_equal(points, again)


def test_points_where_the_map_is_largest_and_points_at_random() -> None:
    attention = np.zeros((4, 4), np.float32)
    attention[1, 2], attention[3, 0], attention[0, 0] = 1.0, 0.9, 0.8
    found = localise(attention, (4, 4), Localisation())
    assert Prompting(2, "maximum").points(found, 0).tolist() == [[2, 1], [0, 3]]
    assert len(Prompting(8, "maximum").points(found, 0)) == 3  # all there is
    drawn = {tuple(Prompting(1, "random").points(found, number)[0]) for number in range(30)}
    assert drawn == {(2, 1), (0, 3), (0, 0)}
    np.testing.assert_array_equal(
        Prompting(2, "algorithm").points(found, 0), sample_points(found.binary, 2, found.scaled)
    )


def test_a_stored_map_is_binarised_as_it_was_when_it_was_made() -> None:
    settings = Localisation()
    clear = np.random.default_rng(0).random((16, 16), np.float32)
    for attention in (clear, 10 + 0.1 * clear):  # the second has hardly any contrast
        made = localise(attention, (64, 64), settings)
        stored = np.rint(min_max_scaled(attention) * 255).astype(np.float32)
        found = restored(stored, made.contrast, (64, 64), settings)
        assert found.everywhere == made.everywhere
        assert (found.binary == made.binary).mean() > 0.99


# Sets of references


@pytest.mark.slow
def test_images_segmented_again_as_before_are_the_banks_references(
    bank: rim.Bank, sets: ReferenceSets
) -> None:
    again, stored = sets.get(prompted(Prompting(4, "algorithm"))), bank.features()
    both = np.intersect1d(again.feature_id, stored.feature_id)
    assert len(both) >= 0.9 * len(stored.feature_id)  # maps are kept in 8 bits
    cosine = (
        again.embeddings[np.isin(again.feature_id, both)]
        * stored.embeddings[np.isin(stored.feature_id, both)]
    ).sum(axis=1)
    assert np.median(cosine) > 0.999
    other = sets.get(prompted(Prompting(1, "random")))
    assert not np.array_equal(other.embeddings, again.embeddings)


@pytest.mark.slow
def test_sets_under_other_masks_are_of_the_same_images(bank: rim.Bank, sets: ReferenceSets) -> None:
    accepted = set(images_of(bank.features()))
    for name in (ATTENTION, TRUE_MASKS):
        found = sets.get(name)
        assert set(images_of(found)) <= accepted
        assert not np.array_equal(found.embeddings, bank.features().embeddings)
    assert sets.get(BANK) is bank.features()
    assert sorted(images_of(sets.get(WORLD))) == sorted(images_of(bank.features()))
    with pytest.raises(ValueError, match="name of a set"):
        sets.get("no set's")


@pytest.mark.slow
def test_the_first_numbers_of_each_category(bank: rim.Bank, sets: ReferenceSets) -> None:
    one = sets.get(first(1))
    assert one.category_id[one.role == FOREGROUND].tolist() == [0, 1, 2, 3]
    every = sets.get(first(4))
    np.testing.assert_array_equal(every.feature_id, bank.features().feature_id)
    np.testing.assert_array_equal(every.embeddings, bank.features().embeddings)
    assert len(sets.get(EVERYTHING).feature_id) >= len(every.feature_id)


@pytest.mark.slow
def test_planted_images_bring_their_background_along(bank: rim.Bank, sets: ReferenceSets) -> None:
    clean, planted = bank.features(), sets.get(PLANTED)
    before, behind = by_image(clean, FOREGROUND), by_image(clean, BACKGROUND)
    after, behind_after = by_image(planted, FOREGROUND), by_image(planted, BACKGROUND)
    assert before.keys() == after.keys()
    shows = {feature: image for image, feature in before.items()}
    moved = {image for image in before if before[image] != after[image]}
    # A fifth of four images, of each of four categories.
    assert sorted(unpack_image_id(image).category_id for image in moved) == [0, 1, 2, 3]
    for image, feature in after.items():
        source = shows[feature]
        same = unpack_image_id(source).category_id == unpack_image_id(image).category_id
        assert same == (image not in moved)
        assert behind_after.get(image) == behind.get(source)
    assert set(images_of(sets.get(FOUND))) <= after.keys()


# Rows


@pytest.mark.slow
def test_every_row_changes_one_thing_and_defaults_are_measured_once(measure: BankMeasure) -> None:
    rows = ablation_rows(Matching(), 50)
    assert len({(row.group, row.name) for row in rows}) == len(rows)
    counts = {row: json.dumps(measure.what_counts(row), sort_keys=True) for row in rows}
    defaults = [row for row in rows if "(default)" in row.name]
    assert len(defaults) == 5
    assert {counts[row] for row in defaults} == {counts[DEFAULT]}
    others = [counts[row] for row in rows if row not in defaults]
    assert len(set(others)) == len(others)
    assert [row.name for row in rows if row.group == K_GROUP][-1] == "K = 50"
    assert {ON_TRUE_MASKS, *BY_TEXT} < set(rows)


@pytest.mark.slow
def test_the_default_is_what_rim_eval_scores(bank: rim.Bank, measure: BankMeasure) -> None:
    scored = rim.evaluate(bank, "miniature", scenes=2, seed=9, background="off")
    found = measure.measure(DEFAULT)
    assert found.values["mIoU"] == pytest.approx(scored.miou)
    assert found.per_class == pytest.approx(scored.per_class, nan_ok=True)


@pytest.mark.slow
def test_references_that_are_the_regions_themselves_classify_all_rightly(
    bank: rim.Bank, settings: Settings, scenes: CutScenes, stack: ModelStack
) -> None:
    """Nothing but the labelling and the scoring is left to go wrong."""
    ids = {record.name: record.category_id for record in bank.categories}
    oracle: dict[int, NDArray[np.float32]] = {}
    for scene, photo in zip(scenes.scenes, scenes.photos("true"), strict=True):
        things = [instance.category for instance in scene.instances]
        for name, region in zip([*things, *scene.stuff], photo.regions, strict=True):
            if name in ids:
                image_id = pack_image_id(ids[name], "diffusion", len(oracle))
                oracle[pack_feature_id(image_id, FOREGROUND)] = region.feature

    class Oracle(ReferenceSets):
        def get(self, name: str) -> BankFeatures:
            return as_bank_features(oracle, bank.manifest.dimension)

    sets = Oracle(bank, stack, Judge)
    measure = BankMeasure(bank, settings, sets, scenes, CachingStack(stack))
    found = measure.measure(AblationRow("g", "n", cut="true", overrides=("neighbours=1",)))

    shown = {CATEGORIES[label] for scene in scenes.scenes for label in np.unique(scene.labels)}
    assert shown & set(NAMES)
    assert {name for name, iou in found.per_class.items() if iou == 1} == shown & set(NAMES)


@pytest.mark.slow
def test_classified_by_text_is_the_labeller_with_all_weight_on_text(
    bank: rim.Bank, settings: Settings, scenes: CutScenes, stack: ModelStack
) -> None:
    evidence = TextSimilarity(stack.text_image, bank.categories, settings.generation)
    matching = settings.matching.model_copy(update={"text_weight": 1.0, "negatives": False})
    labeller = PhotoLabeller(Classifier(bank.features(), matching), matching, evidence)
    for photo in scenes.photos("sam"):
        _, whole = labeller.label(photo)
        ids = labeller.classifier.candidates(None)
        nothing = np.full(whole.shape, -1, np.int32)
        found = text_labels(photo, cut_outs(photo), evidence, ids, "vote", nothing)
        np.testing.assert_array_equal(found >= 0, ~photo.partition.uncovered_tiles())
        np.testing.assert_array_equal(found[found >= 0], whole[found >= 0])


def test_what_is_around_a_region_takes_its_mean_colour() -> None:
    image = np.zeros((5, 6, 3), np.uint8)
    mask = np.zeros((5, 6), bool)
    mask[1, 2:5], mask[2, 2] = True, True  # 3 wide, 2 high
    image[mask] = [[10, 0, 0], [20, 0, 0], [30, 0, 0], [40, 0, 0]]
    tokens = np.ones((1, 1, 2), np.float32)

    (crop,) = cut_outs(cut_along(image, tokens, mask[None]))

    assert crop[:, :, 0].tolist() == [[10, 20, 30], [40, 25, 25], [25, 25, 25]]
    assert not crop[:, :, 1:].any()


# Results


def result(row: AblationRow, *values: dict[str, float]) -> Result:
    return Result(row, tuple(Measurement(one, {}, 0.1) for one in values))


def closed(miou: float, familiar: float = 0.8, novel: float = 0.75) -> dict[str, float]:
    return {"mIoU": miou, "familiar": familiar, "novel": novel, "stuff": float("nan")}


@pytest.fixture
def small() -> Ablation:
    """Results of two banks."""
    left_out = AblationRow("open", "threshold", left_out=True)
    return Ablation(
        scenes=10,
        seed=1,
        bank_seeds=(0, 1),
        images_per_category=50,
        results=(
            result(DEFAULT, closed(0.82), closed(0.80)),
            result(ON_TRUE_MASKS, closed(0.88), closed(0.88)),
            result(BY_TEXT[0], closed(0.60), closed(0.60)),
            result(BY_TEXT[1], closed(0.65), closed(0.65)),
            *(
                result(AblationRow(K_GROUP, f"K = {k}"), closed(0.1 * k), closed(0.2))
                for k in (1, 5)
            ),
            result(left_out, *({"mIoU": 0.7, "named": 0.72, "background": 0.4},) * 2),
        ),
    )


def test_targets_are_read_off_the_means(small: Ablation) -> None:
    found = {gate.name: (round(gate.measured, 6), gate.reached) for gate in small.targets()}
    assert list(found.values()) == [(0.81, True), (0.07, False), (0.16, True), (0.05, True)]


def test_the_spread_is_the_sample_standard_deviation() -> None:
    values = (0.5, 0.6, 0.9)
    spread = Spread(values)
    assert spread.std == pytest.approx(statistics.stdev(values))
    assert str(spread) == "0.667 ± 0.208"
    assert str(Spread((0.25,))) == "0.250"
    assert str(Spread((float("nan"), 0.5))) == "none"


def test_the_document_has_every_row_and_target(small: Ablation) -> None:
    lines = small.markdown().splitlines()
    assert "| default | 0.810 ± 0.014 | 0.800 ± 0.000 | 0.750 ± 0.000 | none |" in lines
    assert "| threshold | 0.700 ± 0.000 | 0.720 ± 0.000 | 0.400 ± 0.000 |" in lines
    assert sum(line.endswith("| reached |") for line in lines) == 3
    assert sum(line.endswith("| **missed** |") for line in lines) == 1
    written = json.loads(json.dumps(small.as_dict(), allow_nan=False))
    assert written["rows"][0]["values"]["mIoU"] == {
        "mean": 0.81,
        "std": 0.0141,
        "each": [0.82, 0.8],
    }
    assert written["rows"][0]["values"]["stuff"]["mean"] is None


def test_the_plot_is_the_same_every_time_and_wide_enough(small: Ablation, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plot_over_k(small, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.width == 1400
        assert not image.info.keys() & {"Software", "Creation Time"}


def test_what_was_measured_is_found_again_but_not_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    first_key, second_key = (measurement_key({"bank": name}) for name in ("a", "b"))
    state = MeasuredRows(path)
    state.add(first_key, Measurement({"mIoU": 0.5}, {"house": float("nan")}, 1.0))
    state.add(second_key, Measurement({"mIoU": 0.6}, {}, 2.0))

    again = MeasuredRows(path)
    assert again[second_key] == Measurement({"mIoU": 0.6}, {}, 2.0)
    assert np.isnan(again[first_key].per_class["house"])
    assert again.get(measurement_key({"bank": "c"})) is None

    path.write_text(path.read_text()[:-20])
    assert MeasuredRows(path).get(second_key) is None
    assert MeasuredRows(path)[first_key].values == {"mIoU": 0.5}


# The command


@pytest.mark.slow
def test_the_command_measures_all_rows_once(
    bank: rim.Bank,
    model: Judge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_judge(model, judge_weights(tmp_path))
    files = {name: tmp_path / "out" / name for name in ("t.md", "t.json", "t.png")}
    arguments = ["--work", str(tmp_path), "--scenes", "1", "--images-per-category", "4"]
    arguments += ["--banks", str(bank.path), "--bank-seeds", str(SEED)]
    outputs = ["--markdown", "t.md", "--json", "t.json", "--plot", "t.png"]
    arguments += [str(files.get(word, word)) for word in outputs]

    ablation.main(arguments)

    assert "Targets" in capsys.readouterr().out
    written = json.loads(files["t.json"].read_text())
    rows = ablation_rows(Matching(), 4)
    assert [row["name"] for row in written["rows"]] == [row.name for row in rows]
    before = {name: file.read_bytes() for name, file in files.items()}

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(BankMeasure, "measure", never)
    monkeypatch.setattr(CutScenes, "prepare", never)
    ablation.main(arguments)
    assert {name: file.read_bytes() for name, file in files.items()} == before


@pytest.mark.slow
def test_banks_of_another_seed_and_missing_folders_are_refused(
    bank: rim.Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BankError, match=f"seed {SEED + 1}, found 4 from seed {SEED}"):
        ablation.opened_bank(bank.path, "miniature", 4, SEED + 1)
    with pytest.raises(BankError, match="5 images per category"):
        ablation.opened_bank(bank.path, "miniature", 5, SEED)
    with pytest.raises(SystemExit):
        ablation.main(["--work", "w", "--banks", "a"])
    assert "one folder for each of 3" in capsys.readouterr().err
