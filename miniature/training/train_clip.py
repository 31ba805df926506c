"""Train the miniature CLIP (transformers' CLIPModel) on images and captions, contrastively.

The images are single ones and things cut out of scenes. Its tokenizer is byte-level BPE whose
merges make every word of the world's captions one token.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
)

from miniature.training.loop import (
    Run,
    adamw,
    common_arguments,
    settings_of,
)
from miniature.training.singles import SinglePool, crop_pool, joined, single_arguments, single_pool
from miniature.world import CATEGORIES, COLOURS, draw_single, plain_caption

log = logging.getLogger("miniature")

IMAGE_SIZE = 64
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


MAX_LENGTH = 24
_FRAME_WORDS = ("a", "an", "photo", "picture", "of", "on", "and", "the", "small", "large")
_START, _END = "<|startoftext|>", "<|endoftext|>"


def caption_tokenizer() -> CLIPTokenizer:
    """Builds the tokenizer; words that it does not know become their letters.

    It is the same at every call, so that training can be resumed.
    """
    merges = _merges(sorted({*CATEGORIES, *COLOURS, *_FRAME_WORDS}))
    # Like the original CLIP: all bytes, then all bytes that end a word, then one token a merge.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += ["".join(pair) for pair in merges]
    vocabulary = {
        token: index for index, token in enumerate(dict.fromkeys([*tokens, _START, _END]))
    }
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """The merges of byte-pair encoding, in order, until every word is one token.

    The most frequent pair is merged and, of equally frequent ones, the last in the alphabet (the
    tokenizers library breaks ties at random).
    """
    cut = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges = []
    while pairs := Counter(pair for tokens in cut for pair in pairwise(tokens)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        cut = [_merged(tokens, best) for tokens in cut]
    return merges


def _merged(tokens: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for token in tokens:
        if merged and (merged[-1], token) == pair:
            merged[-1] += token
        else:
            merged.append(token)
    return merged


def clip_config(tokenizer: CLIPTokenizer) -> CLIPConfig:
    """Four layers of width 128 on either side."""
    tokens = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        projection_dim=96,
        **tokens,
    )
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=8,
        projection_dim=96,
    )
    return CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=96)


def targets(captions: list[str], labels: NDArray[np.int64]) -> torch.Tensor:
    """The images that each caption fits, (B, B), rows sum to one.

    A caption fits an image of the same caption, and one whose plain caption it is.
    """
    plain = np.asarray([plain_caption(CATEGORIES[label]) for label in labels])
    texts = np.asarray(captions)
    fits = (texts[:, None] == texts[None, :]) | (texts[:, None] == plain[None, :])
    fits |= (plain[:, None] == texts[None, :]) & (labels[:, None] == labels[None, :])
    weights = torch.from_numpy(fits.astype(np.float32))
    return weights / weights.sum(1, keepdim=True)


def pixels(images: NDArray[np.uint8], device: str) -> torch.Tensor:
    """(B, 3, S, S) normalised images from (B, S, S, 3) uint8."""
    tensor = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
    return (tensor - mean) / torch.tensor(STD, device=device).view(3, 1, 1)


def batch_of(
    pool: SinglePool, rng: np.random.Generator, size: int
) -> tuple[NDArray[np.uint8], list[str], NDArray[np.int64]]:
    """Random images, half mirrored, shifted by up to 6 pixels, with their captions and labels."""
    chosen = rng.integers(0, len(pool.labels), size)
    images = pool.images[chosen]
    flipped = rng.random(size) < 0.5
    images[flipped] = images[flipped, :, ::-1]
    padded = np.pad(images, ((0, 0), (6, 6), (6, 6), (0, 0)), mode="edge")
    dy, dx = rng.integers(0, 13, (2, size))
    side = pool.images.shape[1]
    shifted = np.stack([padded[i, dy[i] : dy[i] + side, dx[i] : dx[i] + side] for i in range(size)])
    return shifted, [str(c) for c in pool.captions[chosen]], pool.labels[chosen]


@torch.no_grad()
def accuracy(model: CLIPModel, tokenizer: CLIPTokenizer, per_category: int = 10) -> float:
    """The share of unseen single images whose nearest plain caption is that of their category."""
    model.eval()
    device = str(next(model.parameters()).device)
    texts = [plain_caption(name) for name in CATEGORIES]
    tokens = tokenizer(texts, padding="max_length", return_tensors="pt").to(device)
    drawn = [
        (draw_single(seed, name).image, label)
        for label, name in enumerate(CATEGORIES)
        for seed in range(per_category)
    ]
    images = pixels(np.stack([image for image, _ in drawn]), device)
    logits = model(pixel_values=images, **tokens).logits_per_image
    truth = torch.tensor([label for _, label in drawn], device=device)
    model.train()
    return float((logits.argmax(1) == truth).float().mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and exports; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser, export=Path("data/miniature/clip"), steps=4000, batch=128, rate=1e-3)
    single_arguments(parser)
    parser.add_argument("--crops", type=Path, help="file of things cut out of scenes, to add")
    parser.add_argument("--scenes", type=int, default=8000, help="scenes the crops come from")
    parser.add_argument("--start", type=Path, help="folder of trained weights to go on from")
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    tokenizer = (
        CLIPTokenizer.from_pretrained(options.start) if options.start else caption_tokenizer()
    )
    # Written-out attention: the fused kernel is several times slower to train in bf16 on a CPU.
    model = CLIPModel._from_config(clip_config(tokenizer), attn_implementation="eager")
    if options.start:
        trained = CLIPModel.from_pretrained(options.start, dtype=torch.float32)
        model.load_state_dict(trained.state_dict())
    model.to(settings.device)
    optimiser = adamw(model, settings.rate)
    run = Run(settings, {"model": model, "optimiser": optimiser})
    pool = single_pool(options.pool, options.images)
    if options.crops:
        pool = joined(pool, crop_pool(options.crops, options.scenes))
    for _ in run.steps():
        images, captions, labels = batch_of(pool, run.rng, settings.batch)
        tokens = tokenizer(captions, padding="max_length", return_tensors="pt")
        with run.autocast():
            logits = model(
                pixel_values=pixels(images, settings.device), **tokens.to(settings.device)
            ).logits_per_text.float()
        wanted = targets(captions, labels).to(settings.device)
        loss = F.cross_entropy(logits, wanted) + F.cross_entropy(
            logits.T, wanted.T / wanted.T.sum(1, keepdim=True)
        )
        run.update(loss, model, optimiser)
        model.logit_scale.data.clamp_(max=4.6)
        run.record(loss=loss.detach())
    log.info("accuracy %.3f on unseen single images", accuracy(model, tokenizer))
    model.half().save_pretrained(settings.export)
    tokenizer.save_pretrained(settings.export)
    CLIPImageProcessor(
        size={"shortest_edge": IMAGE_SIZE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=list(MEAN),
        image_std=list(STD),
    ).save_pretrained(settings.export)


if __name__ == "__main__":
    main()
