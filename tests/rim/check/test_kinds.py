"""Every kind of model that a preset may name agrees with its library: in small, random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foundation.sam_checkpoint import build_sam
from rim.check import agreement, by_segment_anything
from rim.check.photos import CheckCategory
from schemas.settings import SegmenterSource, Settings, load_settings
from tests.foundation.conftest import (
    TINY_SAM,
    make_consistency_pipeline,
    make_dinov2,
    make_dinov3,
    make_pipeline,
    make_sam,
    make_xl_pipeline,
    stack_folder,
    tokenizer,
)
from tests.rim.check.benches import miniature_bench

__all__ = ["stack_folder", "tokenizer"]

Make = Callable[[], Any]


def tiny(folder: Path, overrides: tuple[str, ...] = (), **locations: Path) -> Settings:
    """The tiny stack, one of its models in another place."""
    settings = load_settings(str(folder / "tiny.toml"), overrides)
    models = {
        role: getattr(settings.models, role).model_copy(update={"location": str(path)})
        for role, path in locations.items()
    }
    return settings.model_copy(update={"models": settings.models.model_copy(update=models)})


@pytest.mark.parametrize("guidance", [7.5, 1.0])
@pytest.mark.parametrize("make", [make_pipeline, make_xl_pipeline, make_consistency_pipeline])
def test_pipelines(make: Make, guidance: float, stack_folder: Path, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path / "generator")
    settings = tiny(
        stack_folder,
        (f"generation.guidance_scale={guidance}",),
        text_to_image=tmp_path / "generator",
    )
    bench = miniature_bench(tmp_path, settings)
    bench.categories = (CheckCategory("house", False), CheckCategory("fishbowl", False))
    assert bench.prompt().text == "a photo of a fishbowl"
    finding = agreement.generation(bench)
    assert finding.fine, finding.found
    # In float32, or where a CPU is faster with it in bfloat16.
    assert finding.numbers["correlation"] > 0.999
    assert finding.numbers["ratio"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "make", [make_dinov2, lambda: make_dinov2(3), make_dinov3], ids=["v2", "registers", "v3"]
)
def test_features(make: Make, stack_folder: Path, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path / "features")
    settings = tiny(stack_folder, features=tmp_path / "features")
    finding = agreement.features(miniature_bench(tmp_path, settings))
    assert finding.fine, finding.found
    assert finding.numbers["cosine_5_percent"] > 0.999


def test_sam_in_a_folder(stack_folder: Path, tmp_path: Path) -> None:
    finding = agreement.masks(miniature_bench(tmp_path, tiny(stack_folder)))
    assert finding.fine, finding.found
    assert finding.numbers["embedding_cosine"] > 0.9999


def test_a_published_sam_is_built_by_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = make_sam()
    built = build_sam(TINY_SAM)
    monkeypatch.setattr(by_segment_anything, "load_sam", lambda source, path: own)
    monkeypatch.setitem(by_segment_anything.sam_model_registry, "vit_b", lambda: built)
    source = SegmenterSource(location="sam.pth", architecture="vit_b")
    image = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    points = np.array([[50, 5]], np.float32)
    found = by_segment_anything.predict(
        source, tmp_path / "sam.pth", image, points, torch.device("cpu")
    )
    for name, weights in own.state_dict().items():
        assert torch.equal(weights, built.state_dict()[name])
    assert found.masks.shape == (1, 3, 40, 60)
    assert found.quality.shape == (1, 3)
