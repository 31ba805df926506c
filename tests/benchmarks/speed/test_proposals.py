"""Mask proposals: both ways find the same masks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.speed import proposals
from foundation.images.masks import decode_rle, encode_rle
from foundation.stack import ModelStack
from miniature.world import FIRST_UNSEEN_SEED, draw_scene

CPU = torch.device("cpu")


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
