"""Faults planted in rim's own code, each found by the step that compares with the library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foundation.cross_attention import CrossAttentionCapture
from foundation.images.preprocessing import Normalisation
from foundation.patch_features import PatchFeatures
from foundation.sam import SamSegmenter
from foundation.text_image import ClipScorer
from foundation.text_to_image import DiffusersTextToImage
from rim.check import agreement
from rim.check.findings import Finding, NotApplicable
from rim.check.steps import AGREEMENT, run_check
from rim.check.workbench import check_settings
from tests.rim.check.benches import miniature_bench

Patch = pytest.MonkeyPatch


def swapped(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


def plant(owner: type, name: str, changed: Callable[..., Any]) -> Callable[[Patch], None]:
    """Has `changed(original, *arguments)` called in place of a method."""

    def into(monkeypatch: Patch) -> None:
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given: changed(original, *given))

    return into


def token_layer(original: Any, model: Any, pixels: torch.Tensor) -> np.ndarray:
    """The layer before the last, normalised as the last is."""
    hidden = model._model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
    return model._model.layernorm(hidden)[:, model._prefix :].float().numpy()


def other_normalisation(mean: float, std: float) -> Callable[..., torch.Tensor]:
    other = Normalisation((mean,) * 3, (std,) * 3)
    return lambda original, own, pixels: original(other, pixels)


def unconditional(original: Any, capture: Any, layer: Any, query: Any, key: Any, size: Any) -> None:
    prompts = len(capture._token_indices)
    original(capture, layer, query[:prompts], key[:prompts], size)


PLANTS: dict[str, tuple[Callable[[agreement.Workbench], Finding], Callable[[Patch], None]]] = {
    "features see swapped channels": (
        agreement.features,
        plant(PatchFeatures, "extract", lambda do, own, images: do(own, [*map(swapped, images)])),
    ),
    "features are normalised to -1..1": (
        agreement.features,
        plant(Normalisation, "apply", other_normalisation(0.5, 0.5)),
    ),
    "features are not normalised": (
        agreement.features,
        plant(Normalisation, "apply", other_normalisation(0, 1)),
    ),
    "features are normalised nearly right": (
        agreement.features,
        plant(Normalisation, "apply", other_normalisation(0.449, 0.226)),
    ),
    "features of the layer before the last": (
        agreement.features,
        plant(PatchFeatures, "_run", torch.inference_mode()(token_layer)),
    ),
    "SAM sees swapped channels": (
        agreement.masks,
        plant(SamSegmenter, "embed", lambda do, own, image: do(own, swapped(image))),
    ),
    "SAM is given points (y, x)": (
        agreement.masks,
        plant(
            SamSegmenter, "predict", lambda do, own, image, points: do(own, image, swapped(points))
        ),
    ),
    "attention of the unconditional half": (
        agreement.generation,
        plant(CrossAttentionCapture, "_add", unconditional),
    ),
    "attention of the first token": (
        agreement.generation,
        plant(DiffusersTextToImage, "_token_indices", lambda do, own, prompt: [0]),
    ),
    "CLIP sees swapped channels": (
        agreement.text_image,
        plant(ClipScorer, "_prepare", lambda do, own, image: do(own, swapped(image))),
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    step, into = PLANTS[name]
    into(monkeypatch)
    finding = step(miniature_bench(tmp_path))
    assert not finding.fine, finding.found


@pytest.mark.slow
def test_without_a_fault_all_agree_and_a_fault_ends_with_broken(monkeypatch: Patch) -> None:
    settings = check_settings("miniature")
    results = run_check(settings, device="cpu", offline=True, steps=AGREEMENT)
    assert [one.result for one in results] == ["fine"] * len(AGREEMENT), results
    read = agreement.read_image
    monkeypatch.setattr(agreement, "read_image", lambda path: swapped(read(path)))
    result = run_check(settings, device="cpu", offline=True, steps=AGREEMENT[:1])[0]
    assert result.result == "broken"
    assert "chelsea.png" in result.found
    assert "brick.png" not in result.found  # grey


def test_a_comparison_that_does_not_fit_into_the_memory_is_skipped(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    for module in ("by_transformers.patch_tokens", "by_segment_anything.predict"):
        monkeypatch.setattr(f"rim.check.{module}", full)
    for step in (agreement.features, agreement.masks):
        with pytest.raises(NotApplicable, match="library's own way does not fit"):
            step(miniature_bench(tmp_path))
