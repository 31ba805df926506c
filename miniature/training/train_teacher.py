"""Train the convolutional teacher of the miniature DINOv2 on the kinds of drawn regions.

The pooled features of one kind are drawn together and those of others apart (supervised
contrastive loss with a memory); beside it a cosine classifier names every kind. The nameless
species make the features tolerant of colour, tilt and size for shapes never seen before.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from miniature.training.features_scores import Extractor, score_extractor
from miniature.training.loop import (
    Ema,
    Run,
    adamw,
    common_arguments,
    log,
    set_learning_rate,
    settings_of,
)
from miniature.training.metric_losses import Memory, Namer, contrastive_loss
from miniature.training.region_batches import (
    PATCH,
    SIDE,
    coverage,
    draw_picture,
    load_batch,
    normalised,
    pool_named,
)
from miniature.training.scene_pool import FIRST_SPECIES, ScenePool
from miniature.training.teacher import ConvTeacher


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, score and export into the work folder: the teacher is needed for training alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common_arguments(parser, export=Path("teacher.safetensors"), steps=4000, batch=32, rate=2e-3)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--pool", type=int, default=3072, help="pictures held (default 3072)")
    parser.add_argument("--fresh", type=int, default=3, help="pictures drawn a step (default 3)")
    parser.add_argument("--memory", type=int, default=2048, help="features remembered")
    parser.add_argument(
        "--score", type=int, default=100, help="scenes to score on (default 100; 0: none)"
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    device = settings.device
    teacher = ConvTeacher(options.width).to(device).train()
    namer = Namer(options.width).to(device)
    optimiser = adamw(nn.ModuleList([teacher, namer]), settings.rate)
    memory, ema = Memory(options.width, options.memory, device), Ema(teacher, 0.995)
    run = Run(
        settings,
        {
            "teacher": teacher,
            "namer": namer,
            "memory": memory,
            "optimiser": optimiser,
            "ema": ema,
        },
    )
    pool = ScenePool(
        draw_picture,
        options.pool,
        SIDE,
        position=run.step * options.fresh,
        workers=settings.workers,
    )
    for _ in run.steps():
        set_learning_rate(optimiser, run.learning_rate())
        batch = load_batch(pool, run.rng.integers(0, len(pool), settings.batch), run.rng)
        weights = coverage(batch.regions.numpy(), run.rng).to(device)
        with run.autocast():
            tokens = teacher(normalised(batch.images.to(device)))
        features, kinds = pool_named(tokens, weights, batch.classes.to(device))
        contrast = contrastive_loss(features, kinds, memory)
        losses, right = namer(features, kinds)
        memory.add(features, kinds)
        optimiser.zero_grad()
        (contrast + 0.5 * losses.mean()).backward()
        nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
        optimiser.step()
        ema.update(teacher)
        nameless = kinds >= FIRST_SPECIES
        run.record(contrast=contrast.detach(), naming=losses.detach().mean())
        run.record(species=right[nameless].float().mean(), named=right[~nameless].float().mean())
        pool.advance(options.fresh)
    settings.export.parent.mkdir(parents=True, exist_ok=True)
    average = ema.module.eval()
    save_file(average.state_dict(), settings.export)
    if options.score:
        log.info(
            "%s", score_extractor(Extractor(average, SIDE, PATCH), scenes=options.score).line()
        )


if __name__ == "__main__":
    main()
