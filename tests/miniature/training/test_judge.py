"""The judge of generated images: trains, resumes to the same state, exports what loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from miniature.training import train_judge
from miniature.training.judge import Judge, judge, judge_pixels, load_judge, score_judge
from miniature.training.singles import SinglePool, single_pool
from miniature.world import CATEGORIES, STUFF, draw_single

IMAGES = 22


@pytest.fixture(scope="module")
def pool_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pool") / "singles.npz"
    single_pool(path, IMAGES)
    return path


@pytest.fixture(scope="module")
def pool(pool_file: Path) -> SinglePool:
    return single_pool(pool_file, IMAGES)


def _train(pool_file: Path, work: Path, steps: int) -> None:
    arguments = ["--pool", str(pool_file), "--images", str(IMAGES), "--work", str(work)]
    arguments += ["--batch", "4", "--threads", "1", "--device", "cpu", "--no-bf16"]
    train_judge.main([*arguments, "--warmup", "1", "--steps", str(steps)])


@pytest.fixture
def few_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        train_judge, "score_judge", lambda model: score_judge(model, per_category=1)
    )


@pytest.mark.slow
@pytest.mark.usefixtures("few_scored")
def test_it_trains_resumes_and_exports(pool_file: Path, tmp_path: Path) -> None:
    work = tmp_path / "judge"
    _train(pool_file, work, 1)
    exported = load_judge(work / "judge.safetensors")
    state = torch.load(work / "checkpoint.pt", weights_only=True)
    assert state["step"] == 1
    averages = state["states"]["ema"]["module"]
    assert exported.state_dict().keys() == averages.keys()
    assert all(torch.equal(value, averages[key]) for key, value in exported.state_dict().items())

    # A run that is over goes on from its checkpoint by no step and leaves the same state.
    _train(pool_file, work, 1)
    again = torch.load(work / "checkpoint.pt", weights_only=True)
    for part in ("model", "optimiser"):
        assert _same(state["states"][part], again["states"][part])
    _train(pool_file, work, 2)
    assert torch.load(work / "checkpoint.pt", weights_only=True)["step"] == 2


def _same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and all(map(_same, one, other))
    return one == other


def test_shapes_of_what_it_says() -> None:
    model = Judge().eval()
    images = [draw_single(7, name).image for name in ("house", "grass")]
    output = model(judge_pixels(np.stack(images)))
    assert output.logits.shape == (2, len(CATEGORIES))
    assert output.masks.shape == (2, 64, 64)
    judged = judge(model, images)
    assert judged.labels.shape == (2,)
    assert judged.masks.shape == (2, 64, 64)
    assert judged.masks.dtype == bool
    assert judged.features.shape == output.features.shape == (2, 192)
    logits = torch.from_numpy(judged.features) @ model.name.weight.T + model.name.bias
    assert torch.allclose(logits, output.logits, atol=1e-5)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        judge(Judge(), [np.zeros((32, 32, 3), np.uint8)])


def test_images_of_stuff_have_an_empty_mask_and_things_keep_theirs(pool: SinglePool) -> None:
    pixels, labels, masks = train_judge.batch_of(pool, np.random.default_rng(3), 64)
    assert pixels.shape == (64, 3, 64, 64)
    assert pixels.dtype == masks.dtype == torch.float32
    is_stuff = torch.tensor([CATEGORIES[label] in STUFF for label in labels.tolist()])
    assert is_stuff.any()
    assert not masks[is_stuff].any()
    assert (masks[~is_stuff].flatten(1).sum(1) > 0).all()


def test_the_mask_moves_with_its_image() -> None:
    """A white square on black stays where its mask is, mirrored and shifted or not."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:40, 10:26] = 255
    mask = image[:, :, 0] > 0
    pool = SinglePool(image[None], np.zeros(1, np.int64), np.array(["a house"]), mask[None])
    pixels, _, masks = train_judge.batch_of(pool, np.random.default_rng(0), 32)
    assert len({tuple(np.argwhere(one)[0]) for one in masks.numpy()}) > 1
    brightness = pixels.mean(1)
    for bright, where in zip(brightness, masks > 0, strict=True):
        assert bright[where].mean() > bright[~where].mean() + 1


def test_disguise_keeps_shape_and_does_little() -> None:
    images = np.stack([draw_single(seed, "fish").image for seed in range(8)])
    clear = judge_pixels(images)
    disguised = train_judge.disguised(clear, np.random.default_rng(5))
    assert disguised.shape == clear.shape
    change = (disguised - clear).abs().mean((1, 2, 3))
    assert (change > 0).all()
    assert (change < 0.35).all()


def test_scores_of_an_untrained_judge_are_shares() -> None:
    scores = score_judge(Judge(), per_category=1)
    assert 0 <= scores.accuracy <= 1
    assert 0 <= scores.mask_iou <= 1
