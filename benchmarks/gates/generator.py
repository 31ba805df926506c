"""The generator's gates: right category, as varied as the world, attention on the thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image

import rim
from bank_builder.localise import localise
from bank_builder.sources.diffusion import image_seed
from benchmarks.accuracy.stored import stored_images
from benchmarks.gate import GROUPS, Gate, Measured, mean_or_nan, shares
from benchmarks.gates.sheet import (
    WRONG,
    Tile,
    TileRow,
    draw_sheet,
    enlarged,
    with_frame,
    with_name,
    with_outline,
)
from foundation.images.masks import mask_iou
from foundation.interfaces import TextToImage
from foundation.prompts import category_prompt
from miniature.training.judge import Judge, Judged, judge, score_judge
from miniature.world import CATEGORIES, FIRST_UNSEEN_SEED, STUFF, THINGS, draw_single
from schemas.settings import Settings

_AT_ONCE = 50
_SHOWN_SIDE = 128
_SHOWN_COLUMNS = 4


@dataclass(frozen=True)
class PromptedImage:
    """A generated image: ``image`` (H, W, 3) uint8 RGB of the prompted ``category``, and its
    binarised ``attention`` (H, W) bool.
    """

    category: str
    image: NDArray[np.uint8]
    attention: NDArray[np.bool_]


def generated_images(
    generator: TextToImage,
    settings: Settings,
    count: int,
    on_batch: Callable[[int], None] = lambda _: None,
) -> list[PromptedImage]:
    """The first `count` images a category of a bank with these settings, without the bank.

    `on_batch` is told how many images each batch had.
    """
    generation = settings.generation
    images = []
    for name in CATEGORIES:
        prompt = category_prompt(name, generation.template, generation.no_article)
        for first in range(0, count, generation.batch_size):
            numbers = range(first, min(first + generation.batch_size, count))
            seeds = [image_seed(generation.seed, name, number) for number in numbers]
            for made in generator.generate([prompt] * len(seeds), seeds):
                size = (made.image.shape[0], made.image.shape[1])
                found = localise(made.attention, size, settings.localisation)
                images.append(PromptedImage(name, made.image, found.binary))
            on_batch(len(seeds))
    return images


@torch.inference_mode()
def through_autoencoder(
    folder: Path, images: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.uint8]]:
    """Encodes and decodes images (H, W, 3) uint8 by the autoencoder of the pipeline in `folder`.

    Its generator can do no better.
    """
    codec = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    decoded_images = []
    for start in range(0, len(images), _AT_ONCE):
        batch = torch.from_numpy(np.stack(images[start : start + _AT_ONCE])).permute(0, 3, 1, 2)
        decoded = codec.decode(codec.encode(batch.float() / 127.5 - 1).latent_dist.mean).sample
        pixels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte()
        decoded_images += list(pixels.permute(0, 2, 3, 1).numpy())
    return decoded_images


def bank_images(bank: rim.Bank, count: int) -> list[PromptedImage]:
    """The first `count` images a category of a bank, accepted or not."""
    return [
        PromptedImage(one.category, one.image, one.localisation.binary)
        for one in stored_images(bank, count)
        if one.category in CATEGORIES
    ]


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
    """The diversity of generated images of one category, over that of the world's own."""
    world = mean_cosine_distance(drawn)
    return mean_cosine_distance(generated) / world if world > 0 else float("nan")


def attention_ious(images: Sequence[PromptedImage], judged: Judged) -> list[tuple[str, float]]:
    """The category and the IoU of attention with the judge's mask, of all images of things."""
    return [
        (prompted.category, mask_iou(prompted.attention, mask))
        for prompted, mask in zip(images, judged.masks, strict=True)
        if prompted.category not in STUFF
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
    images: Sequence[PromptedImage],
    judged: Judged,
    model: Judge,
    give_back: Callable[[Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.uint8]]],
    drawn: int = 50,
) -> Measured:
    """Measures all gates of the generator, and the judge itself on `drawn` images a category.

    `give_back` is the generator's autoencoder. What it blurs looks varied to the judge, so there is
    also the diversity ratio of the world's images that went through it, and that to them.
    """
    right = [
        (prompted.category, CATEGORIES[label] == prompted.category)
        for prompted, label in zip(images, judged.labels.tolist(), strict=True)
    ]
    recognised = shares(right)
    names = np.array([prompted.category for prompted in images])
    world = [draw_single(FIRST_UNSEEN_SEED + i, name).image for i, name in _in_turn(drawn)]
    sharp, soft = judge(model, world), judge(model, give_back(world))
    ratios = ratios_of(names, judged.features, sharp.features)
    soft_ratios = ratios_of(np.array(CATEGORIES * drawn), soft.features, sharp.features)
    to_soft = ratios_of(names, judged.features, soft.features)
    soft_right = [
        CATEGORIES[i] == name for i, (_, name) in zip(soft.labels, _in_turn(drawn), strict=True)
    ]
    ious = attention_ious(images, judged)
    own = score_judge(model, per_category=drawn)
    gates = [Gate("generator", f"recognised, {name}", recognised[name], 0.90) for name in GROUPS]
    gates += [
        Gate("generator", "diversity ratio", _mean_ratio(ratios, CATEGORIES), 0.8, 1.25),
        Gate("generator", "diversity ratio, things", _mean_ratio(ratios, THINGS)),
        Gate("generator", "diversity ratio, stuff", _mean_ratio(ratios, STUFF)),
        Gate("generator", "diversity to decoded world", _mean_ratio(to_soft, CATEGORIES)),
        Gate("generator", "diversity of decoded world", _mean_ratio(soft_ratios, CATEGORIES)),
        Gate("generator", "attention IoU", mean_or_nan([iou for _, iou in ious]), 0.5),
        Gate("judge", "accuracy on world images", own.accuracy, 0.97),
        Gate("judge", "accuracy on decoded world images", mean_or_nan(soft_right)),
        Gate("judge", "mask IoU", own.mask_iou, 0.9),
    ]
    per_category = {
        "recognised": {name: recognised[name] for name in CATEGORIES},
        "diversity ratio": ratios,
        "diversity ratio to decoded world images": to_soft,
        "diversity ratio of decoded world images": soft_ratios,
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
    """The mean over a group's categories, those left out of which there was but one image."""
    return mean_or_nan([ratios[name] for name in group if not np.isnan(ratios[name])])


def generator_sheet(images: Sequence[PromptedImage], judged: Judged) -> Image.Image:
    """Draws a few images of every category with the outline of the binarised attention.

    Where the judge classifies one otherwise, it has a red frame and that category's name.
    """
    rows = []
    for name in CATEGORIES:
        chosen = [i for i, one in enumerate(images) if one.category == name][:_SHOWN_COLUMNS]
        if chosen:
            seen = [(images[i], CATEGORIES[int(judged.labels[i])]) for i in chosen]
            rows.append(TileRow([_tile(prompted, label) for prompted, label in seen], name))
    half = (len(rows) + 1) // 2
    title = "Generator: images with the outline of their category's attention (red: taken for)"
    return draw_sheet(title, [rows[:half], rows[half:]])


def _tile(prompted: PromptedImage, seen: str) -> Tile:
    shown = with_outline(enlarged(prompted.image, _SHOWN_SIDE), prompted.attention)
    if seen == prompted.category:
        return Tile(shown)
    return Tile(with_name(with_frame(shown, WRONG), seen, _SHOWN_SIDE / 2, _SHOWN_SIDE, WRONG))
