"""The speed benchmarks: both ways make the same things, and the numbers are those of the runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler, PNDMScheduler

from benchmarks.speed import build, capture, proposals
from benchmarks.speed.arithmetic import matrix_product_rate, unet_flops
from benchmarks.speed.command import quiet_libraries, target
from benchmarks.speed.stock_references import StockReferences
from benchmarks.speed.timing import in_turns, median
from foundation.images.masks import decode_rle, encode_rle, mask_iou
from foundation.prompts import category_prompt
from foundation.stack import ModelStack
from miniature.world import FIRST_UNSEEN_SEED, draw_scene
from schemas.settings import load_settings
from tests.foundation.conftest import make_consistency_pipeline, make_pipeline

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    quiet_libraries()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stack() -> ModelStack:
    """In float32, in which stock calls compute too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foundation.text_to_image_loading.fast_type", lambda device: torch.float32)
        made = ModelStack(load_settings("miniature", ["generation.steps=8"]), "cpu")
        made.load()
    return made


@pytest.fixture(scope="module")
def stock(stack: ModelStack) -> StockReferences:
    return StockReferences(stack)


@pytest.fixture(scope="module")
def ways(stack: ModelStack) -> proposals.Ways:
    return proposals.Ways(proposals.sam_of(stack.settings, CPU, False), stack.settings.proposals)


# Timing


def test_ways_take_turns() -> None:
    calls: list[str] = []
    ways = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    seconds = in_turns(ways, 3, CPU)
    assert calls == ["a", "b"] * 3
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}
    assert all(one >= 0 for times in seconds.values() for one in times)
    assert median([3.0, 1.0, 100.0]) == 3.0


def test_what_is_wanted_depends_on_stack_and_device() -> None:
    miniature, paper = load_settings("miniature"), load_settings("paper")
    cases = [(miniature, "cpu", 2.0), (paper, "cpu", None), (paper, "cuda", 1.5)]
    for settings, device, wanted in cases:
        where = torch.device(device)
        assert target(settings, where, miniature=2.0, full_size=1.5) == wanted


# Capture


@pytest.mark.slow
def test_capture_leaves_the_latents_as_they_are() -> None:
    batch = capture.Recipe("miniature", 2, 2, CPU, 1).load()
    with batch.denoising_alone():
        assert capture.largest_difference(batch) == 0
        assert batch.latents.shape == (2, 4, 16, 16)
        assert batch.latents.std() > 0.1
    # Afterwards the pipeline is its own again.
    assert batch.with_capture()[0].image.shape == (64, 64, 3)


@pytest.mark.slow
def test_capture_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two fresh processes would only take long.
    monkeypatch.setattr(capture, "_in_fresh_process", capture.memory)
    path = tmp_path / "capture.json"
    sizes = ["--images", "2", "--steps", "2", "--rounds", "2"]
    capture.main([*sizes, "--device", "cpu", "--threads", "1", "--json", str(path)])
    assert "≤ 1.10" in capsys.readouterr().out
    document = json.loads(path.read_text(encoding="utf-8"))
    measured = {(one["model"], one["gate"]): one["measured"] for one in document["gates"]}
    with_, without = (document["seconds"][name] for name in (capture.WITH, capture.WITHOUT))
    assert len(with_) == len(without) == 2
    ratio = measured["ratio", "denoising"]
    assert ratio == pytest.approx(median(with_) / median(without), abs=1e-3)
    assert measured["difference", "latents, largest"] == 0
    if capture._MEMORY_RESET.exists():
        for name in (capture.WITH, capture.WITHOUT):
            assert 0 < measured[name, "loaded, GiB"] <= measured[name, "peak, GiB"]


# Build


@pytest.mark.slow
@pytest.mark.parametrize("category", ["house", "water"])
def test_stock_calls_give_what_rim_gives(
    stack: ModelStack, stock: StockReferences, category: str, tmp_path: Path
) -> None:
    generation = stack.settings.generation
    prompt = category_prompt(category, generation.template, generation.no_article)
    made = stock.make(prompt, 5)
    (ours,) = stack.text_to_image.generate([prompt], [5])
    assert np.abs(made.image.astype(int) - ours.image).max() <= 1
    assert ours.attention.max() > 1.3 * ours.attention.min()  # a flat map would prove nothing
    assert np.abs(made.attention - ours.attention).max() <= 1e-4 * ours.attention.max()
    stock.write(tmp_path, "one", made)
    assert {path.name for path in tmp_path.iterdir()} == {"one.png", "one.mask.png", "one.npy"}


@pytest.mark.slow
def test_both_builds_end_with_the_same_masks_and_features(
    stack: ModelStack, stock: StockReferences
) -> None:
    work = build.Work(stack, stock, ("house", "fish"), 2)
    rows = work.rim()
    assert [(row.category, row.number) for row in rows] == [
        ("house", 0), ("house", 1), ("fish", 0), ("fish", 1)
    ]  # fmt: skip
    assert all("generate" in stages for stages in work.seconds)
    generation = stack.settings.generation
    for row in rows:
        prompt = category_prompt(row.category, generation.template, generation.no_article)
        made = stock.make(prompt, row.seed)
        assert row.mask is not None
        assert row.foreground is not None
        assert mask_iou(made.mask, decode_rle(row.mask)) > 0.98
        # Another resizing, and patches weighted by whole pixels.
        assert made.features[0] @ row.foreground > 0.99


@pytest.mark.slow
def test_images_that_fail_are_no_measurement(
    stack: ModelStack, stock: StockReferences, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no picture today")

    monkeypatch.setattr(stack.text_to_image, "generate", fail)
    with pytest.raises(SystemExit, match="no picture today"):
        build.Work(stack, stock, ("house",), 1).rim()


@pytest.mark.slow
def test_build_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "build.json"
    sizes = ["--categories", "2", "--images", "1", "--set", "generation.steps=2", "--rounds", "1"]
    build.main([*sizes, "--device", "cpu", "--threads", "1", "--json", str(path)])
    assert "≥ 2.00" in capsys.readouterr().out
    document = json.loads(path.read_text(encoding="utf-8"))
    measured = {(one["model"], one["gate"]): one["measured"] for one in document["gates"]}
    assert "1 images, 2 steps" in document["title"]
    (rim,), (stock,) = (document["seconds"][name] for name in (build.RIM, build.STOCK))
    assert measured["rim", "images/s"] == pytest.approx(2 / rim, rel=1e-2)
    assert measured["ratio", "rim to stock"] == pytest.approx(stock / rim, rel=1e-2)
    assert 0 < measured["arithmetic", "share"] < 1


@pytest.mark.slow
def test_flops_of_a_unet_grow_with_the_batch(stock: StockReferences) -> None:
    one = unet_flops(stock.pipeline, (64, 64))
    assert unet_flops(stock.pipeline, (64, 64), batch=3) == pytest.approx(3 * one, rel=0.01)
    # The first convolution alone: 3 x 3, 4 to 64 channels, 16 x 16 places.
    assert one > 2 * 9 * 4 * 64 * 256


@pytest.mark.parametrize(
    ("make", "scheduler", "calls_an_image"),
    [
        (make_pipeline, PNDMScheduler(skip_prk_steps=True), 2 * 51),
        (make_pipeline, DDIMScheduler(), 2 * 50),
        (make_consistency_pipeline, LCMScheduler(), 50),  # guidance is told, not computed
    ],
)
def test_denoising_is_counted_by_the_calls_of_the_unet(
    make: Any, scheduler: Any, calls_an_image: int
) -> None:
    pipeline = make()
    pipeline.scheduler = scheduler
    overrides = ["generation.steps=50", "generation.height=16", "generation.width=16"]
    models: Any = SimpleNamespace(settings=load_settings("miniature", overrides))
    other: Any = SimpleNamespace(pipeline=pipeline)
    work = build.Work(models, other, ["house", "fish"], 3)
    once = unet_flops(pipeline, (16, 16))
    assert build.denoising_flops(work) == once * calls_an_image * 6


def test_the_rate_of_matrix_products_is_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed.arithmetic._SIDE", {"cpu": 64})
    assert 0 < matrix_product_rate(CPU, torch.float32) < math.inf


# Proposals


@pytest.mark.slow
def test_before_nms_both_ways_have_the_same_masks(stack: ModelStack) -> None:
    photos = [draw_scene(FIRST_UNSEEN_SEED + i).image for i in range(2)]
    sam = proposals.sam_of(stack.settings, CPU, False)
    every = proposals.Ways(sam, proposals.without_nms(stack.settings.proposals))
    same = proposals.agreement(every, photos)
    assert len(same.stock) > 100
    assert len(same.ours) == pytest.approx(len(same.stock), rel=0.02)
    for best in (same.stock, same.ours):
        assert (best >= proposals.SAME).mean() > 0.99
        assert np.median(best) > 0.99


@pytest.mark.slow
def test_rim_masks_are_those_of_the_proposals(ways: proposals.Ways) -> None:
    photo = draw_scene(FIRST_UNSEEN_SEED, (96, 160)).image
    _, low = ways.proposals(photo)
    full = [decode_rle(rle) for rle in ways.rim_masks(photo)]
    assert len(full) == len(low.masks) > 0
    for mask, small in zip(full, low.masks, strict=True):
        assert mask.shape == (96, 160)
        assert mask.mean() == pytest.approx(small.mean(), abs=0.03)


def test_ious_by_hand() -> None:
    left, top, none = (np.zeros((4, 4), bool) for _ in range(3))
    left[:, :2] = True
    top[:2] = True
    a, b, empty = encode_rle(left), encode_rle(top), encode_rle(none)
    assert proposals.ious([a, b], [b]).tolist() == [[pytest.approx(1 / 3)], [1.0]]
    assert proposals.ious([a], [empty]).tolist() == [[0.0]]
    assert proposals.ious([], [a]).shape == (0, 1)


def test_agreement_counts_both_ways() -> None:
    gates = proposals.Agreement(np.array([1.0, 0.95, 0.2]), np.array([1.0])).gates("equality")
    assert [gate.measured for gate in gates] == pytest.approx([3, 2 / 3, 0.95, 1, 1, 1])
    nothing = proposals.Agreement(np.empty(0), np.empty(0)).gates("equality")
    assert math.isnan(nothing[1].measured)
    assert math.isnan(nothing[2].measured)


@pytest.mark.slow
def test_proposals_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "proposals.json"
    sizes = ["--scenes", "1", "--rounds", "1", "--set", "proposals.grid=6"]
    proposals.main([*sizes, "--device", "cpu", "--threads", "1", "--json", str(path)])
    assert "≥ 3.00" in capsys.readouterr().out
    document = json.loads(path.read_text(encoding="utf-8"))
    measured = {(one["model"], one["gate"]): one["measured"] for one in document["gates"]}
    seconds = {name: times[0] for name, times in document["seconds"].items()}
    assert measured["rim", "ms a photo"] == pytest.approx(1e3 * seconds["rim"], rel=1e-2)
    ratio = measured["ratio", "rim to stock"]
    assert ratio == pytest.approx(seconds["stock"] / seconds["rim"], rel=1e-2)
    assert measured["equality", f"stock among rim's: share at IoU >= {proposals.SAME}"] > 0.5
