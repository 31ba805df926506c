"""The generated pictures that are judged, each with its category's binarised attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

import rim
from bank_builder.localise import localise
from bank_builder.seeds import image_seed
from foundation.images.reading import decode_png
from foundation.interfaces import TextToImage
from foundation.prompts import category_prompt
from miniature.world import CATEGORIES
from schemas.settings import Settings

Image = NDArray[np.uint8]
_AT_ONCE = 50


@dataclass(frozen=True)
class Picture:
    """``image`` (H, W, 3) uint8 RGB of the prompted ``category``, ``attention`` (H, W) bool."""

    category: str
    image: NDArray[np.uint8]
    attention: NDArray[np.bool_]


def generated_pictures(
    generator: TextToImage,
    settings: Settings,
    count: int,
    on_batch: Callable[[int], None] = lambda _: None,
) -> list[Picture]:
    """The first `count` pictures a category of a bank with these settings, without the bank.

    `on_batch` is told how many pictures each batch had.
    """
    generation = settings.generation
    pictures = []
    for name in CATEGORIES:
        prompt = category_prompt(name, generation.template, generation.no_article)
        for first in range(0, count, generation.batch_size):
            numbers = range(first, min(first + generation.batch_size, count))
            seeds = [image_seed(generation.seed, name, number) for number in numbers]
            for made in generator.generate([prompt] * len(seeds), seeds):
                size = (made.image.shape[0], made.image.shape[1])
                found = localise(made.attention, size, settings.localisation)
                pictures.append(Picture(name, made.image, found.binary))
            on_batch(len(seeds))
    return pictures


@torch.inference_mode()
def through_autoencoder(folder: Path, images: Sequence[NDArray[np.uint8]]) -> list[Image]:
    """Pictures (H, W, 3) uint8 as the autoencoder of the pipeline in `folder` gives them back:
    the best that its generator could do.
    """
    codec = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    given_back = []
    for start in range(0, len(images), _AT_ONCE):
        batch = torch.from_numpy(np.stack(images[start : start + _AT_ONCE])).permute(0, 3, 1, 2)
        decoded = codec.decode(codec.encode(batch.float() / 127.5 - 1).latent_dist.mean).sample
        pixels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte()
        given_back += list(pixels.permute(0, 2, 3, 1).numpy())
    return given_back


def bank_pictures(bank: rim.Bank, count: int) -> list[Picture]:
    """The first `count` pictures a category of a bank, accepted or not.

    A bank keeps its attention maps scaled to 8 bits: whether a map was too flat to say anything is
    told by the contrast in its row, all else by the map.
    """
    names = ", ".join(f"'{name}'" for name in CATEGORIES)
    rows = bank.sql(
        "SELECT category, png, attention, contrast FROM images "
        f"WHERE png IS NOT NULL AND attention IS NOT NULL AND category IN ({names}) "
        f"AND number < {count} ORDER BY image_id"
    ).fetchall()
    pictures = []
    for category, png, attention, contrast in rows:
        image = np.asarray(decode_png(png), np.uint8)
        size = (image.shape[0], image.shape[1])
        found = localise(decode_png(attention).astype(np.float32), size, bank.settings.localisation)
        flat = contrast < bank.settings.localisation.min_contrast
        pictures.append(Picture(category, image, np.ones(size, bool) if flat else found.binary))
    return pictures
