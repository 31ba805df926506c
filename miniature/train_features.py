"""Train the miniature DINOv2: patch features that tell shapes and textures apart.

Regions of drawn pictures are pooled as they are at build and query time (mean of patch tokens,
weighted by coverage, L2-normalised). The pooled features of one kind are drawn together and those
of others apart (supervised contrastive loss), where a kind is a familiar category, a stuff, or one
of an endless row of nameless species; beside it a cosine classifier names the familiar categories.
The species make the features tolerant of colour, tilt and size for shapes never seen before; the
novel categories of the world are never shown.

    python -m miniature.train_features --work W/features --minutes 30
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from miniature.augment import vary
from miniature.features_scores import score_features
from miniature.scene_pool import FIRST_SPECIES, MOST_REGIONS, Picture, ScenePool, pack
from miniature.shapes import SPECIES, draw_species_scene
from miniature.training import (
    Ema,
    Run,
    adamw,
    common_arguments,
    log,
    set_learning_rate,
    settings_of,
)
from miniature.world import CATEGORIES, FAMILIAR, STUFF, draw_single

SIDE = 128
PATCH = 8
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LIVE_SPECIES = 256
NAMED = tuple(CATEGORIES.index(name) for name in FAMILIAR + STUFF)


@dataclass(frozen=True)
class Batch:
    """Pictures (B, 3, S, S) in [0, 1], region maps (B, S, S), classes (B, MOST_REGIONS) int64."""

    images: Tensor
    regions: Tensor
    classes: Tensor


def draw_picture(number: int) -> Picture:
    """Picture `number` of the training stream: scenes and singles of familiar kinds and species."""
    rng = np.random.default_rng([number, 40])
    seed = 1_000_000 + number
    first = number // 8
    species = [f"{SPECIES}{first + int(i)}" for i in rng.integers(0, LIVE_SPECIES, 3)]
    familiar = [str(kind) for kind in rng.choice(FAMILIAR, 3)]
    draw = rng.random()
    if draw < 0.06:
        return pack(draw_single(seed, str(rng.choice(STUFF)), _single_size(rng)), SIDE)
    if draw < 0.5:
        kind = familiar[0] if draw < 0.28 else species[0]
        return pack(draw_species_scene(seed, [kind], _single_size(rng), single=True), SIDE)
    kinds = [familiar[0], species[0], familiar[1], species[1], familiar[2], species[2]]
    kinds = kinds[: int(rng.integers(3, 7))]
    return pack(
        draw_species_scene(seed, [kinds[int(i)] for i in rng.permutation(len(kinds))]), SIDE
    )


def _single_size(rng: np.random.Generator) -> tuple[int, int]:
    side = 64 if rng.random() < 0.7 else int(rng.integers(56, 112))
    return side, side


def choose(pool: ScenePool, rng: np.random.Generator, batch: int) -> NDArray[np.int64]:
    """Slots of a batch: half of it pictures that share species two by two or three by three."""
    chosen: list[int] = list(rng.integers(0, len(pool), batch - batch // 2))
    species = pool.classes[pool.classes >= FIRST_SPECIES]
    while len(chosen) < batch and len(species):
        kind = species[int(rng.integers(len(species)))]
        where = np.flatnonzero((pool.classes == kind).any(1))
        if len(where) > 1:
            chosen += list(rng.permutation(where)[:3])
    return np.asarray(chosen[:batch], np.int64)


def load_batch(pool: ScenePool, slots: NDArray[np.int64], rng: np.random.Generator) -> Batch:
    """The pictures of the slots, varied at random."""
    images, maps = vary(pool.images[slots], pool.regions[slots][:, None], rng)
    return Batch(images, maps[:, 0], torch.from_numpy(pool.classes[slots]).long())


def coverage(regions: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Share of each patch under each region, (B, MOST_REGIONS, patches) float32.

    Some regions are cut by a random half-plane, as proposals often hold only a part of a thing.
    """
    pictures, count = len(regions), MOST_REGIONS + 1  # the last one gathers what is no region
    number = np.minimum(regions, MOST_REGIONS).astype(np.int64)
    owner = number + count * np.arange(pictures)[:, None, None]
    plane = _half_planes(rng, (pictures * count,)).astype(np.float32)[owner]
    line = np.linspace(-1, 1, SIDE, dtype=np.float32)
    inside = plane[..., 0] * line[:, None] + plane[..., 1] * line < plane[..., 2]
    left = np.bincount(owner[inside], minlength=pictures * count)
    whole = np.bincount(owner.ravel(), minlength=pictures * count)
    inside |= (left < 0.35 * whole)[owner]
    row = np.arange(SIDE) // PATCH
    patch = row[:, None] * (SIDE // PATCH) + row
    patches = (SIDE // PATCH) ** 2
    area = np.bincount(
        (owner * patches + patch)[inside], minlength=pictures * count * patches
    ).reshape(pictures, count, patches)
    return torch.from_numpy(area[:, :MOST_REGIONS] / PATCH**2).float()


def _half_planes(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    angle, offset = rng.uniform(0, 2 * np.pi, shape), rng.uniform(-0.4, 0.6, shape)
    offset[rng.random(shape) < 0.7] = 9.0
    return np.stack([np.cos(angle), np.sin(angle), offset], -1)


def pooled_regions(
    model: Dinov2Model, batch: Batch, weights: Tensor, keep: int | None
) -> tuple[Tensor, Tensor]:
    """L2-normalised features (R, d) of all named regions, and their classes (R,).

    With `keep`, the encoder sees only that many patches of each picture, those of things first:
    it halves the cost of a step.
    """
    device = model.device
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    hidden = model.embeddings(((batch.images - mean) / std).to(device))
    weights = weights.to(device)
    if keep is not None and keep < weights.shape[-1]:
        is_thing = (batch.classes >= 0) & ~torch.isin(
            batch.classes, torch.tensor([CATEGORIES.index(name) for name in STUFF])
        )
        things = (weights * is_thing.to(device)[..., None]).sum(1)
        order = (things + torch.rand_like(things)).topk(keep, dim=1).indices
        patches = hidden[:, 1:].gather(1, order[..., None].expand(-1, -1, hidden.shape[-1]))
        hidden = torch.cat([hidden[:, :1], patches], 1)
        weights = weights.gather(2, order[:, None].expand(-1, MOST_REGIONS, -1))
    tokens = model.layernorm(model.encoder(hidden).last_hidden_state)[:, 1:]
    with torch.autocast(device.type, enabled=False):
        area = weights.sum(-1)
        pooled = F.normalize(torch.bmm(weights, tokens.float()), dim=-1)
    named = (batch.classes.to(device) >= 0) & (area > 0.75)
    return pooled[named], batch.classes.to(device)[named]


def contrastive_loss(features: Tensor, classes: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss over normalised features (R, d); kinds without a pair wait."""
    similarity = features @ features.T / temperature
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    same = (classes[:, None] == classes) & ~itself
    logs = similarity.masked_fill(itself, -torch.inf).log_softmax(1).masked_fill(itself, 0.0)
    pairs = same.sum(1)
    losses = -(logs * same).sum(1) / pairs.clamp(min=1)
    # Each kind counts alike, so that many grass regions do not outweigh one species.
    share = (pairs > 0) / (pairs + 1.0)
    return (losses * share).sum() / share.sum().clamp(min=1e-6)


class Namer(nn.Module):
    """A cosine classifier over the familiar categories and stuff."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(NAMED), width))

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Mean cross-entropy of the features whose class has a name."""
        table = torch.full((len(CATEGORIES),), -1)
        table[list(NAMED)] = torch.arange(len(NAMED))
        named = classes < len(CATEGORIES)
        logits = features[named] @ F.normalize(self.weight, dim=1).T / 0.07
        return F.cross_entropy(logits, table.to(classes.device)[classes[named]])


def build_model(width: int, depth: int, heads: int) -> Dinov2Model:
    """A fresh, small Dinov2Model for pictures of SIDE pixels."""
    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        mlp_ratio=4,
        image_size=SIDE,
        patch_size=PATCH,
        layerscale_value=1.0,
    )
    model = Dinov2Model(config)
    model.set_attn_implementation("eager")  # twice as fast as sdpa backwards on a CPU
    return model


def export(model: Dinov2Model, folder: Path) -> None:
    """Write the transformers folder: config, safetensors (fp16) and preprocessor settings."""
    folder.mkdir(parents=True, exist_ok=True)
    half = Dinov2Model(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes it for the owner alone
    processor = BitImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    processor.save_pretrained(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, score and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common_arguments(
        parser, export=Path("data/miniature/features"), steps=6000, batch=32, rate=1e-3
    )
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--pool", type=int, default=3072, help="pictures held (default 3072)")
    parser.add_argument("--fresh", type=int, default=3, help="pictures drawn a step (default 3)")
    parser.add_argument("--keep", type=int, default=144, help="patches the encoder sees")
    parser.add_argument(
        "--score", type=int, default=100, help="scenes to score on (default 100; 0: none)"
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    model = build_model(options.width, options.depth, options.heads).to(settings.device).train()
    namer = Namer(options.width).to(settings.device)
    optimiser = adamw(nn.ModuleList([model, namer]), settings.rate)
    ema = Ema(model, 0.995)
    run = Run(settings, {"model": model, "namer": namer, "optimiser": optimiser, "ema": ema})
    pool = ScenePool(
        draw_picture,
        options.pool,
        SIDE,
        position=run.step * options.fresh,
        workers=settings.workers,
    )
    exported = run.seconds
    for _ in run.steps():
        set_learning_rate(optimiser, run.learning_rate())
        batch = load_batch(pool, choose(pool, run.rng, settings.batch), run.rng)
        keep = options.keep if run.progress < 0.9 else None
        with run.autocast():
            features, classes = pooled_regions(
                model, batch, coverage(batch.regions.numpy(), run.rng), keep
            )
        contrast, naming = contrastive_loss(features, classes), namer(features, classes)
        optimiser.zero_grad()
        (contrast + 0.5 * naming).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        ema.update(model)
        run.record(contrast=contrast.detach(), naming=naming.detach(), norm=norm)
        pool.advance(options.fresh)
        if run.export_due(exported):
            export(ema.module, settings.export)
            exported = run.seconds
            log.info("exported; %s", score_features(ema.module, scenes=24).line())
    export(ema.module, settings.export)
    if options.score:
        scores = score_features(ema.module, scenes=options.score)
        log.info("%s", scores.line())
        described = {**scores.as_dict(), "steps": run.step, "seconds": round(run.seconds)}
        (settings.export / "scores.json").write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main()
