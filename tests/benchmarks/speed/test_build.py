"""From prompt to stored feature: both ways make the same things."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler, PNDMScheduler

from benchmarks.speed import build
from benchmarks.speed.stock_references import StockReferences
from benchmarks.speed.timing import unet_flops
from foundation.images.masks import decode_rle, mask_iou
from foundation.prompts import category_prompt
from foundation.stack import ModelStack
from schemas.settings import load_settings
from tests.foundation.conftest import make_consistency_pipeline, make_pipeline

CPU = torch.device("cpu")


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
        raise RuntimeError("no image today")

    monkeypatch.setattr(stack.text_to_image, "generate", fail)
    with pytest.raises(SystemExit, match="no image today"):
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
