"""Prompts and losses of SAM, and the script that trains it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import build_sam, load_sam
from miniature.training import train_sam
from miniature.training.sam import (
    DenseHead,
    decode,
    draw_image,
    draw_prompts,
    draw_queries,
    target_masks,
)
from miniature.training.scenes import NOTHING
from miniature.world import CATEGORIES, draw_scene
from schemas.settings import SegmenterSource

SMALL = train_sam.ARCHITECTURE.model_copy(
    update={
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
        "global_attn_indexes": (1,),
        "out_chans": 32,
    }
)
SAM = ["--pool", "4", "--fresh", "1", "--batch", "2", "--prompts", "3", "--queries", "4"]


def test_prompts_lie_in_what_they_ask_for(rng: np.random.Generator) -> None:
    drawn = draw_image(3)
    stuff = np.isin(drawn.classes, [CATEGORIES.index("grass")])[None]
    prompts = draw_prompts(drawn.regions[None], drawn.parts[None], stuff, 9, 1, rng)
    regions, parts = (torch.from_numpy(a)[None] for a in (drawn.regions, drawn.parts))
    targets = target_masks(regions, parts, prompts)
    for (x, y), region, masks in zip(prompts.points[:, 0], prompts.regions, targets, strict=True):
        assert drawn.regions[int(y), int(x)] == region
        assert masks[1].sum() * 4 == pytest.approx((drawn.regions == int(region)).sum())
        assert masks[0, int(y) // 2, int(x) // 2] > 0
        assert (masks[0] <= masks[1]).all()


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
    sam = build_sam(SMALL)
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
def test_sam_trains_resumes_and_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_sam, "ARCHITECTURE", SMALL)
    path = tmp_path / "out" / "sam.pth"
    common = ["--work", str(tmp_path), "--export", str(path), "--device", "cpu", "--score", "0"]
    train_sam.main([*common, "--steps", "1", *SAM])
    train_sam.main([*common, "--steps", "2", *SAM])
    assert _checkpoint(tmp_path)["step"] == 2
    source = SegmenterSource(location=str(path), architecture=SMALL)
    segmenter = SamSegmenter(load_sam(source, path))
    embedding = segmenter.embed(draw_scene(1, (96, 128)).image)
    found = segmenter.predict(embedding, np.array([[[20.0, 30.0]]]))
    assert found.predicted_iou.shape == (1, 3)


def _checkpoint(work: Path) -> dict[str, object]:
    state: dict[str, object] = torch.load(work / "checkpoint.pt", weights_only=True)
    return state
