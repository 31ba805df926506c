"""The generator's gates: right category, as varied as the world, attention on the thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.gate import GROUPS, Gate, Measured, mean_or_nan, shares
from benchmarks.gates.pictures import Picture
from benchmarks.gates.sheet import (
    WRONG,
    Row,
    Tile,
    draw_sheet,
    enlarged,
    with_frame,
    with_name,
    with_outline,
)
from foundation.images.masks import mask_iou
from miniature.training.judge import Judge, Judged, judge, score_judge
from miniature.world import CATEGORIES, FIRST_UNSEEN_SEED, STUFF, THINGS, draw_single

_SHOWN_SIDE = 128
_SHOWN_COLUMNS = 4


def mean_cosine_distance(features: NDArray[np.float32]) -> float:
    """Mean of 1 - cosine over all pairs of rows of (n, d); not a number below two rows."""
    count = len(features)
    if count < 2:
        return float("nan")
    unit = features.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    # The sum over all ordered pairs, less each row with itself, from the length of the row sum.
    total = np.square(unit.sum(0)).sum() - np.square(unit).sum()
    return float(1 - total / (count * (count - 1)))


def diversity_ratio(generated: NDArray[np.float32], drawn: NDArray[np.float32]) -> float:
    """How varied generated pictures of one category are, in units of the world's own."""
    world = mean_cosine_distance(drawn)
    return mean_cosine_distance(generated) / world if world > 0 else float("nan")


def attention_ious(pictures: Sequence[Picture], judged: Judged) -> list[tuple[str, float]]:
    """Category, and IoU of binarised attention with the judge's mask, of all pictures of things."""
    return [
        (picture.category, mask_iou(picture.attention, mask))
        for picture, mask in zip(pictures, judged.masks, strict=True)
        if picture.category not in STUFF
    ]


def ratios_of(
    names: NDArray[np.str_], generated: NDArray[np.float32], drawn: NDArray[np.float32]
) -> dict[str, float]:
    """The diversity ratio of every category; `generated` (n, d) are of the categories `names`
    (n,), `drawn` (m, d) of every category in turn.
    """
    return {
        name: diversity_ratio(generated[names == name], drawn[label :: len(CATEGORIES)])
        for label, name in enumerate(CATEGORIES)
    }


def generator_gates(
    pictures: Sequence[Picture],
    judged: Judged,
    model: Judge,
    give_back: Callable[[Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.uint8]]],
    drawn: int = 50,
) -> Measured:
    """All gates of the generator, and the judge's own numbers on `drawn` pictures a category.

    `give_back` is the generator's autoencoder. What it blurs looks varied to the judge, so the
    diversity ratio is told of the world's pictures through it, and to them, as well.
    """
    right = [
        (picture.category, CATEGORIES[label] == picture.category)
        for picture, label in zip(pictures, judged.labels.tolist(), strict=True)
    ]
    recognised = shares(right)
    names = np.array([picture.category for picture in pictures])
    world = [draw_single(FIRST_UNSEEN_SEED + i, name).image for i, name in _in_turn(drawn)]
    sharp, soft = judge(model, world), judge(model, give_back(world))
    ratios = ratios_of(names, judged.features, sharp.features)
    soft_ratios = ratios_of(np.array(CATEGORIES * drawn), soft.features, sharp.features)
    to_soft = ratios_of(names, judged.features, soft.features)
    soft_right = [
        CATEGORIES[i] == name for i, (_, name) in zip(soft.labels, _in_turn(drawn), strict=True)
    ]
    ious = attention_ious(pictures, judged)
    own = score_judge(model, per_category=drawn)
    gates = [Gate("generator", f"recognised, {name}", recognised[name], 0.90) for name in GROUPS]
    gates += [
        Gate("generator", "diversity ratio", _mean_ratio(ratios, CATEGORIES), 0.8, 1.25),
        Gate("generator", "diversity ratio, things", _mean_ratio(ratios, THINGS)),
        Gate("generator", "diversity ratio, stuff", _mean_ratio(ratios, STUFF)),
        Gate("generator", "diversity to decoded world", _mean_ratio(to_soft, CATEGORIES)),
        Gate("generator", "diversity of decoded world", _mean_ratio(soft_ratios, CATEGORIES)),
        Gate("generator", "attention IoU", mean_or_nan([iou for _, iou in ious]), 0.5),
        Gate("judge", "names world pictures", own.accuracy, 0.97),
        Gate("judge", "names decoded world pictures", mean_or_nan(soft_right)),
        Gate("judge", "mask IoU", own.mask_iou, 0.9),
    ]
    per_category = {
        "recognised": {name: recognised[name] for name in CATEGORIES},
        "diversity ratio": ratios,
        "diversity ratio to decoded world pictures": to_soft,
        "diversity ratio of decoded world pictures": soft_ratios,
        "attention IoU": {
            name: mean_or_nan([iou for category, iou in ious if category == name])
            for name in THINGS
        },
    }
    return Measured(tuple(gates), per_category)


def _in_turn(count: int) -> list[tuple[int, str]]:
    """Numbers from 0 and categories in turn, `count` times each."""
    return list(enumerate(CATEGORIES * count))


def _mean_ratio(ratios: dict[str, float], group: Sequence[str]) -> float:
    """The mean over a group's categories, those left out of which there was but one picture."""
    return mean_or_nan([ratios[name] for name in group if not np.isnan(ratios[name])])


def generator_sheet(pictures: Sequence[Picture], judged: Judged) -> Image.Image:
    """A few pictures of every category with the outline of the binarised attention; a red frame
    and name where the judge sees something else.
    """
    rows = []
    for name in CATEGORIES:
        chosen = [i for i, one in enumerate(pictures) if one.category == name][:_SHOWN_COLUMNS]
        if chosen:
            seen = [(pictures[i], CATEGORIES[int(judged.labels[i])]) for i in chosen]
            rows.append(Row([_tile(picture, label) for picture, label in seen], name))
    half = (len(rows) + 1) // 2
    title = "Generator: pictures with the outline of their category's attention (red: taken for)"
    return draw_sheet(title, [rows[:half], rows[half:]])


def _tile(picture: Picture, seen: str) -> Tile:
    shown = with_outline(enlarged(picture.image, _SHOWN_SIDE), picture.attention)
    if seen == picture.category:
        return Tile(shown)
    return Tile(with_name(with_frame(shown, WRONG), seen, _SHOWN_SIDE / 2, _SHOWN_SIDE, WRONG))
