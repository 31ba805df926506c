"""Train the miniature DINOv2: patch features that tell shapes and textures apart.

Two steps. A convolutional teacher learns first, from the kinds of drawn regions
(`miniature.training.train_teacher`). Then the transformer learns to give every patch the feature
that the teacher gives it, while the pooled features of one kind are drawn together (supervised
contrastive loss).

    python -m miniature.training.train_teacher  --work W/teacher  --export W/teacher.safetensors
    python -m miniature.training.train_features --work W/features --teacher W/teacher.safetensors
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from miniature.training.features import (
    MEAN,
    PATCH,
    SIDE,
    STD,
    FeatureMemory,
    choose_patches,
    contrastive_loss,
    coverage,
    draw_image,
    load_region_batch,
    normalised,
    pool_labelled,
)
from miniature.training.features_scores import score_features
from miniature.training.loop import (
    Ema,
    Run,
    common_arguments,
    log,
    muon,
    settings_of,
)
from miniature.training.scenes import MOST_REGIONS, ScenePool
from miniature.training.train_teacher import load_teacher, mean_similarity


def tokens_of(model: Dinov2Model, pixels: Tensor, chosen: Tensor | None) -> Tensor:
    """Normalised patch tokens (B, P, d); with `chosen` (B, P), the encoder sees those alone."""
    hidden = model.embeddings(pixels)
    if chosen is not None:
        patches = take(hidden[:, 1:], chosen)
        hidden = torch.cat([hidden[:, :1], patches], 1)
    tokens: Tensor = model.layernorm(model.encoder(hidden).last_hidden_state)[:, 1:]
    return tokens


def take(tokens: Tensor, chosen: Tensor) -> Tensor:
    """Tokens (B, P, d) at the indices (B, P) out of (B, N, d)."""
    return tokens.gather(1, chosen[..., None].expand(-1, -1, tokens.shape[-1]))


def build_model(width: int, depth: int, heads: int) -> Dinov2Model:
    """A fresh, small Dinov2Model for images of SIDE pixels."""
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
    """Writes the transformers folder: config, safetensors (fp16) and preprocessor settings."""
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
    """Trains, scores and exports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common_arguments(
        parser, export=Path("data/miniature/features"), steps=12000, batch=32, rate=2e-3
    )
    parser.add_argument("--teacher", type=Path, required=True, help="weights of the teacher")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--pool", type=int, default=3072, help="pictures held (default 3072)")
    parser.add_argument("--fresh", type=int, default=3, help="pictures drawn a step (default 3)")
    parser.add_argument("--memory", type=int, default=2048, help="features remembered")
    parser.add_argument("--keep", type=int, default=96, help="patches the encoder sees")
    parser.add_argument(
        "--score", type=int, default=100, help="scenes to score on (default 100; 0: none)"
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    device = settings.device
    teacher = load_teacher(options.teacher, options.width).to(device)
    model = build_model(options.width, options.depth, options.heads).to(device).train()
    optimiser = muon(model, settings.rate)
    ema = Ema(model, 0.995)
    memory = FeatureMemory(options.width, options.memory, device)
    states = {"model": model, "memory": memory, "optimiser": optimiser, "ema": ema}
    run = Run(settings, states)
    pool = ScenePool(
        draw_image,
        options.pool,
        SIDE,
        position=run.step * options.fresh,
        workers=settings.workers,
    )
    exported = run.seconds
    for _ in run.steps():
        batch = load_region_batch(pool, run.rng.integers(0, len(pool), settings.batch), run.rng)
        weights, classes = coverage(batch.regions.numpy(), run.rng).to(device), batch.classes
        # A part of the patches is enough to learn from, and cheap; the last steps see them all.
        chosen = None
        if run.progress < 0.85:
            chosen = choose_patches(weights, classes.to(device), options.keep)
        pixels = normalised(batch.images.to(device))
        with run.autocast():
            with torch.no_grad():
                taught = teacher(pixels)
            tokens = tokens_of(model, pixels, chosen)
        if chosen is not None:
            taught = take(taught, chosen)
            weights = weights.gather(2, chosen[:, None].expand(-1, MOST_REGIONS, -1))
        features, kinds = pool_labelled(tokens, weights, classes.to(device))
        contrast, cosine = (
            contrastive_loss(features, kinds, memory),
            mean_similarity(tokens, taught),
        )
        memory.add(features, kinds)
        norm = run.update(contrast - 5 * cosine, model, optimiser, ema, most_norm=1.0)
        run.record(contrast=contrast.detach(), cosine=cosine.detach(), norm=norm)
        pool.advance(options.fresh)
        if run.export_due(exported):
            export(ema.module, settings.export)
            exported = run.seconds
            log.info("exported; %s", score_features(ema.module, scenes=24).line())
    export(ema.module, settings.export)
    if options.score:
        log.info("%s", score_features(ema.module, scenes=options.score).line())


if __name__ == "__main__":
    main()
