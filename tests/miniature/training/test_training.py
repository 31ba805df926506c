"""Each training script trains, checkpoints, resumes to the same state and exports what loads."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Dinov2Model

from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import build_sam, load_sam
from miniature.training import region_batches, sam_batches, train_features, train_sam, train_teacher
from miniature.training.augment import vary
from miniature.training.loop import (
    Ema,
    Run,
    TrainingSettings,
    adamw,
    common_arguments,
    lr_at,
    muon,
    set_learning_rate,
    settings_of,
)
from miniature.training.metric_losses import Memory, Namer, contrastive_loss
from miniature.training.sam_losses import DenseHead, decode, draw_queries
from miniature.training.sam_prompts import draw_prompts, target_masks
from miniature.training.scene_pool import FIRST_SPECIES, NOTHING, Picture, ScenePool, pack
from miniature.training.shapes import SPECIES, draw_species_scene
from miniature.world import CATEGORIES, NOVEL, draw_scene
from schemas.settings import SegmenterSource

TEACHER = ["--width", "32", "--pool", "24", "--fresh", "2", "--memory", "64"]
FEATURES = ["--depth", "1", "--heads", "2", *TEACHER]
SAM = ["--pool", "12", "--fresh", "1", "--batch", "2", "--prompts", "3", "--queries", "4"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _settings(work: Path, steps: int) -> TrainingSettings:
    parser = argparse.ArgumentParser()
    common_arguments(parser, export=work / "out", steps=steps, batch=4, rate=1e-2)
    arguments = ["--work", str(work), "--device", "cpu", "--no-bf16", "--warmup", "1"]
    return settings_of(parser.parse_args(arguments))


def _train_line(work: Path, steps: int) -> tuple[Run, nn.Linear, Ema]:
    """A one-weight regression, with a random batch each step."""
    settings = _settings(work, steps)
    model = nn.Linear(1, 1)
    optimiser, ema = adamw(model, settings.rate), Ema(model)
    run = Run(settings, {"model": model, "optimiser": optimiser, "ema": ema})
    for _ in run.steps():
        set_learning_rate(optimiser, 1e-2)
        x = torch.from_numpy(run.rng.normal(size=(8, 1))).float() + torch.randn(1) * 0.1
        loss = (model(x) - 3 * x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        ema.update(model)
        run.record(loss=loss)
    return run, model, ema


def test_a_resumed_run_ends_in_the_same_state_as_an_unbroken_one(tmp_path: Path) -> None:
    _, whole, whole_ema = _train_line(tmp_path / "whole", 20)
    _train_line(tmp_path / "parts", 8)
    run, resumed, resumed_ema = _train_line(tmp_path / "parts", 20)
    assert run.step == 20
    assert torch.equal(resumed.weight, whole.weight)
    assert torch.equal(resumed_ema.module.weight, whole_ema.module.weight)  # type: ignore[arg-type]


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    _, first, _ = _train_line(tmp_path, 5)
    run, again, _ = _train_line(tmp_path, 5)
    assert run.step == 5
    assert torch.equal(first.weight, again.weight)


def test_a_failed_save_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    run, _, _ = _train_line(tmp_path, 3)
    before = run.checkpoint.read_bytes()

    class Broken:
        def state_dict(self) -> dict[str, object]:
            raise RuntimeError("no state")

        def load_state_dict(self, state: dict[str, object], /) -> None: ...

    run.states = {"folders": Broken()}
    with pytest.raises(RuntimeError, match="no state"):
        run.save()
    assert run.checkpoint.read_bytes() == before


def test_the_learning_rate_warms_up_and_falls() -> None:
    assert lr_at(0.0, 0, warmup=10) == pytest.approx(0.1)
    assert lr_at(0.1, 100, warmup=10) > lr_at(0.5, 500, warmup=10) > lr_at(1.0, 1000, warmup=10)
    assert lr_at(1.0, 1000, warmup=10) == pytest.approx(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_pool_holds_the_latest_pictures_of_its_stream(workers: int) -> None:
    pool = ScenePool(region_batches.draw_picture, 3, 128, workers=workers)
    pool.advance(2)
    for number in (2, 3, 4):
        picture = region_batches.draw_picture(number)
        assert np.array_equal(pool.images[number % 3], picture.image)
        assert np.array_equal(pool.classes[number % 3], picture.classes)


def test_packing_keeps_the_truth_of_a_scene() -> None:
    scene = draw_scene(5, (96, 128))
    picture = pack(scene, 128)
    assert picture.size == (96, 128)
    assert (picture.regions[96:] == NOTHING).all()
    known = np.append(picture.classes, -1)
    numbers = np.minimum(picture.regions[:96], len(picture.classes))
    assert np.array_equal(known[numbers], scene.labels)
    for instance in scene.instances:
        for part in instance.parts:
            assert len(np.unique(picture.parts[:96][part.mask])) == 1


def test_a_species_keeps_its_shape_and_not_its_colours() -> None:
    first, second = (
        draw_species_scene(seed, [f"{SPECIES}7"], (64, 64), single=True) for seed in (1, 2)
    )
    assert first.instances[0].category == second.instances[0].category == f"{SPECIES}7"
    assert not np.array_equal(first.image, second.image)
    names = [{part.name for part in scene.instances[0].parts} for scene in (first, second)]
    assert names[0] & names[1]
    assert pack(first, 128).classes.max() == FIRST_SPECIES + 7


@pytest.mark.slow
@pytest.mark.parametrize("draw", [region_batches.draw_picture, sam_batches.draw_picture])
def test_training_never_shows_a_novel_category(draw: Callable[[int], Picture]) -> None:
    novel = [CATEGORIES.index(name) for name in NOVEL]
    for number in range(40):
        assert not np.isin(draw(number).classes, novel).any()


def test_variation_moves_picture_and_truth_together(rng: np.random.Generator) -> None:
    truth = np.zeros((6, 1, 128, 128), np.uint8)
    truth[:, :, 20:70, 10:60] = 1
    images = np.repeat(truth.transpose(0, 2, 3, 1) * 200, 3, axis=3)
    pixels, maps = vary(images, truth, rng)
    bright = pixels.mean(1) > 0.35
    agreement = (bright == (maps[:, 0] == 1)).float().mean()
    assert agreement > 0.97


def test_prompts_lie_in_what_they_ask_for(rng: np.random.Generator) -> None:
    picture = sam_batches.draw_picture(3)
    stuff = np.isin(picture.classes, [CATEGORIES.index("grass")])[None]
    prompts = draw_prompts(picture.regions[None], picture.parts[None], stuff, 9, 1, rng)
    regions, parts = (torch.from_numpy(a)[None] for a in (picture.regions, picture.parts))
    targets = target_masks(regions, parts, prompts)
    for (x, y), region, masks in zip(prompts.points[:, 0], prompts.regions, targets, strict=True):
        assert picture.regions[int(y), int(x)] == region
        assert masks[1].sum() * 4 == pytest.approx((picture.regions == int(region)).sum())
        assert masks[0, int(y) // 2, int(x) // 2] > 0
        assert (masks[0] <= masks[1]).all()


def test_patch_coverage_sums_to_the_area_of_uncut_regions(rng: np.random.Generator) -> None:
    regions = rng.integers(0, 3, (4, 128, 128)).astype(np.uint8)
    area = region_batches.coverage(regions, rng)
    full = np.stack([(regions == k).sum((1, 2)) for k in range(3)], 1) / 64
    share = area[:, :3].sum(2).numpy() / full
    assert (share <= 1.0 + 1e-6).all()
    assert (share >= 0.34).all()
    assert np.isclose(share, 1.0).any()
    assert (area[:, 3:] == 0).all()


def test_contrastive_loss_is_the_written_out_one(rng: np.random.Generator) -> None:
    features = nn.functional.normalize(torch.from_numpy(rng.normal(size=(5, 8))).float(), dim=1)
    classes = torch.tensor([0, 0, 1, 1, 9])
    memory = Memory(8, 4, "cpu")
    kept = nn.functional.normalize(torch.from_numpy(rng.normal(size=(3, 8))).float(), dim=1)
    memory.add(kept, torch.tensor([0, 1, 1]))
    keys = [*zip(features, classes.tolist(), strict=True), *zip(kept, (0, 1, 1), strict=True)]
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
    memory = Memory(1, 3, "cpu")
    for number in range(5):
        memory.add(torch.tensor([[float(number)]]), torch.tensor([number]))
    assert sorted(memory.classes.tolist()) == [2, 3, 4]
    assert sorted(memory.features.flatten().tolist()) == [2.0, 3.0, 4.0]


def test_a_namer_knows_its_own_weights() -> None:
    namer = Namer(64)
    kinds = torch.tensor([0, CATEGORIES.index("snow"), FIRST_SPECIES, FIRST_SPECIES + 100])
    exact = nn.functional.normalize(namer.weight[namer.table[kinds]], dim=1)
    losses, right = namer(exact, kinds)
    assert right.all()
    assert (namer(-exact, kinds)[0] > losses).all()
    assert len(set(namer.table[kinds].tolist())) == 4


def test_chosen_patches_are_those_of_things_first(rng: np.random.Generator) -> None:
    weights = torch.zeros(1, 12, 16)
    weights[0, 0, :] = 1.0  # grass everywhere but
    weights[0, 0, 5:8], weights[0, 1, 5:8] = 0.0, 2.0
    classes = torch.full((1, 12), -1)
    classes[0, :2] = torch.tensor([CATEGORIES.index("grass"), CATEGORIES.index("fish")])
    chosen = region_batches.choose_patches(weights, classes, 6)
    assert {5, 6, 7} <= set(chosen[0].tolist())
    assert len(set(chosen[0].tolist())) == 6


def test_muon_trains_matrices_and_adamw_the_rest() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 2))
    optimiser = muon(model, 1e-2)
    names = [type(part).__name__ for part in optimiser.parts]
    assert names == ["Muon", "AdamW"]
    grouped = [p for group in optimiser.param_groups for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}
    assert len(grouped) == len(list(model.parameters()))
    x = torch.randn(64, 8)
    losses = []
    for _ in range(60):
        loss = (model(x) - x[:, :2]).square().mean()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.slow
def test_features_learn_from_a_teacher_resume_and_export(tmp_path: Path) -> None:
    common = ["--batch", "6", "--device", "cpu", "--score", "0"]
    taught = tmp_path / "teacher.safetensors"
    folders = ["--work", str(tmp_path / "teacher"), "--export", str(taught)]
    train_teacher.main([*folders, "--steps", "1", *common, *TEACHER])
    train_teacher.main([*folders, "--steps", "2", *common, *TEACHER])
    folders = ["--work", str(tmp_path / "work"), "--export", str(tmp_path / "out")]
    folders += ["--teacher", str(taught)]
    train_features.main([*folders, "--steps", "2", *common, *FEATURES])
    train_features.main([*folders, "--steps", "4", *common, *FEATURES])
    assert _checkpoint(tmp_path / "work")["step"] == 4
    model = Dinov2Model.from_pretrained(tmp_path / "out")
    tokens = model.float()(torch.zeros(1, 3, 64, 96)).last_hidden_state
    assert tokens.shape == (1, 1 + 8 * 12, 32)
    assert (tmp_path / "out" / "preprocessor_config.json").exists()


def _checkpoint(work: Path) -> dict[str, object]:
    state: dict[str, object] = torch.load(work / "checkpoint.pt", weights_only=True)
    return state


def test_a_dense_code_that_tells_regions_apart_costs_less(rng: np.random.Generator) -> None:
    regions = torch.zeros(1, 8, 8, dtype=torch.uint8)
    regions[:, :, 4:] = 1
    regions[:, 0] = NOTHING
    number = torch.where(regions == NOTHING, 2, regions).long()
    right = nn.functional.one_hot(number, 4).permute(0, 3, 1, 2).float()
    queries = draw_queries(regions, 16, rng)
    assert (regions.flatten(1).gather(1, queries) != NOTHING).all()
    head = DenseHead(8, code=4)
    torch.manual_seed(0)
    assert head.loss(3 * right, regions, queries) < 0.7 * head.loss(0 * right, regions, queries)
    assert head(torch.zeros(1, 8, 2, 2)).shape == (1, 4, 8, 8)


def test_sam_decodes_a_batch_as_its_own_decoder_does_one_image() -> None:
    torch.manual_seed(0)
    sam = build_sam(train_sam.ARCHITECTURE)
    points = torch.rand(6, 2, 2) * 128
    with torch.no_grad():
        embeddings = sam.image_encoder(torch.randn(2, 3, 128, 128))
        logits, iou = decode(sam, embeddings, points)
        for image in (0, 1):
            own = slice(3 * image, 3 * image + 3)
            sparse, dense = sam.prompt_encoder((points[own], torch.ones(3, 2)), None, None)
            masks, quality = sam.mask_decoder(
                embeddings[image : image + 1],
                sam.prompt_encoder.get_dense_pe(),
                sparse,
                dense,
                True,
            )
            assert torch.allclose(logits[own, 1:], masks, atol=1e-4)
            assert torch.allclose(iou[own, 1:], quality, atol=1e-4)


@pytest.mark.slow
def test_sam_trains_resumes_and_exports(tmp_path: Path) -> None:
    path = tmp_path / "out" / "sam.pth"
    common = ["--work", str(tmp_path), "--export", str(path), "--device", "cpu", "--score", "0"]
    train_sam.main([*common, "--steps", "2", *SAM])
    train_sam.main([*common, "--steps", "3", *SAM])
    assert _checkpoint(tmp_path)["step"] == 3
    source = SegmenterSource(location=str(path), architecture=train_sam.ARCHITECTURE)
    segmenter = SamSegmenter(load_sam(source, path))
    embedding = segmenter.embed(draw_scene(1, (96, 128)).image)
    found = segmenter.predict(embedding, np.array([[[20.0, 30.0]]]))
    assert found.predicted_iou.shape == (1, 3)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
