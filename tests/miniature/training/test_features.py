"""Batches and losses of features, and the scripts that train teacher and features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Dinov2Model

from miniature.training import features, train_features, train_teacher
from miniature.training.features import FeatureMemory, KindClassifier, contrastive_loss
from miniature.training.scenes import FIRST_SPECIES
from miniature.world import CATEGORIES

TEACHER = ["--width", "32", "--pool", "8", "--fresh", "2", "--memory", "64"]


FEATURES = ["--depth", "1", "--heads", "2", *TEACHER]


def test_patch_coverage_sums_to_the_area_of_uncut_regions(rng: np.random.Generator) -> None:
    regions = rng.integers(0, 3, (4, 128, 128)).astype(np.uint8)
    area = features.coverage(regions, rng)
    full = np.stack([(regions == k).sum((1, 2)) for k in range(3)], 1) / 64
    share = area[:, :3].sum(2).numpy() / full
    assert (share <= 1.0 + 1e-6).all()
    assert (share >= 0.34).all()
    assert np.isclose(share, 1.0).any()
    assert (area[:, 3:] == 0).all()


def test_contrastive_loss_is_the_written_out_one(rng: np.random.Generator) -> None:
    features = nn.functional.normalize(torch.from_numpy(rng.normal(size=(5, 8))).float(), dim=1)
    classes = torch.tensor([0, 0, 1, 1, 9])
    memory = FeatureMemory(8, 4, "cpu")
    stored = nn.functional.normalize(torch.from_numpy(rng.normal(size=(3, 8))).float(), dim=1)
    memory.add(stored, torch.tensor([0, 1, 1]))
    keys = [*zip(features, classes.tolist(), strict=True), *zip(stored, (0, 1, 1), strict=True)]
    by_kind: dict[int, list[float]] = {0: [], 1: []}
    for i, kind in enumerate((0, 0, 1, 1)):
        others = [key for j, key in enumerate(keys) if j != i]
        similarity = torch.stack([features[i] @ key for key, _ in others]) / 0.1
        logs = similarity.log_softmax(0)
        same = [float(log) for log, (_, k) in zip(logs, others, strict=True) if k == kind]
        by_kind[kind].append(-float(np.mean(same)))
    wanted = np.mean([np.mean(losses) for losses in by_kind.values()])
    assert float(contrastive_loss(features, classes, memory)) == pytest.approx(wanted, abs=1e-4)


def test_the_memory_keeps_the_latest() -> None:
    memory = FeatureMemory(1, 3, "cpu")
    for number in range(5):
        memory.add(torch.tensor([[float(number)]]), torch.tensor([number]))
    assert sorted(memory.classes.tolist()) == [2, 3, 4]
    assert sorted(memory.features.flatten().tolist()) == [2.0, 3.0, 4.0]


def test_a_classifier_knows_its_own_weights() -> None:
    classifier = KindClassifier(64)
    kinds = torch.tensor([0, CATEGORIES.index("snow"), FIRST_SPECIES, FIRST_SPECIES + 100])
    exact = nn.functional.normalize(classifier.weight[classifier.table[kinds]], dim=1)
    losses, right = classifier(exact, kinds)
    assert right.all()
    assert (classifier(-exact, kinds)[0] > losses).all()
    assert len(set(classifier.table[kinds].tolist())) == 4


def test_chosen_patches_are_those_of_things_first(rng: np.random.Generator) -> None:
    weights = torch.zeros(1, 12, 16)
    weights[0, 0, :] = 1.0  # grass everywhere but
    weights[0, 0, 5:8], weights[0, 1, 5:8] = 0.0, 2.0
    classes = torch.full((1, 12), -1)
    classes[0, :2] = torch.tensor([CATEGORIES.index("grass"), CATEGORIES.index("fish")])
    chosen = features.choose_patches(weights, classes, 6)
    assert {5, 6, 7} <= set(chosen[0].tolist())
    assert len(set(chosen[0].tolist())) == 6


@pytest.mark.slow
def test_features_learn_from_a_teacher_resume_and_export(tmp_path: Path) -> None:
    common = ["--batch", "3", "--device", "cpu", "--no-bf16", "--score", "0"]
    taught = tmp_path / "teacher.safetensors"
    folders = ["--work", str(tmp_path / "teacher"), "--export", str(taught)]
    train_teacher.main([*folders, "--steps", "1", *common, *TEACHER])
    train_teacher.main([*folders, "--steps", "2", *common, *TEACHER])
    folders = ["--work", str(tmp_path / "work"), "--export", str(tmp_path / "out")]
    folders += ["--teacher", str(taught)]
    train_features.main([*folders, "--steps", "1", *common, *FEATURES])
    train_features.main([*folders, "--steps", "2", *common, *FEATURES])
    assert _checkpoint(tmp_path / "work")["step"] == 2
    model = Dinov2Model.from_pretrained(tmp_path / "out")
    tokens = model.float()(torch.zeros(1, 3, 64, 96)).last_hidden_state
    assert tokens.shape == (1, 1 + 8 * 12, 32)
    assert (tmp_path / "out" / "preprocessor_config.json").exists()


def _checkpoint(work: Path) -> dict[str, object]:
    state: dict[str, object] = torch.load(work / "checkpoint.pt", weights_only=True)
    return state
