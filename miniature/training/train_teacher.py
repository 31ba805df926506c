"""Train the convolutional teacher of the miniature DINOv2 on the kinds of drawn regions.

The pooled features of one kind are drawn together and those of others apart (supervised
contrastive loss with a memory); beside it a cosine classifier learns every kind. The nameless
species make the features tolerant of colour, tilt and size for shapes never seen before.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from miniature.training.features import (
    PATCH,
    SIDE,
    FeatureMemory,
    KindClassifier,
    contrastive_loss,
    coverage,
    draw_image,
    load_region_batch,
    normalised,
    pool_labelled,
)
from miniature.training.features_scores import Extractor, score_extractor
from miniature.training.loop import (
    Ema,
    Run,
    adamw,
    common_arguments,
    log,
    settings_of,
)
from miniature.training.scenes import FIRST_SPECIES, ScenePool


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = _convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
    )


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, 2), nn.ReLU(inplace=True))


class ConvTeacher(nn.Module):
    """Features of 8x8 patches that see the whole image: down to its 32nd part and up again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            _down(3, 32), _down(32, 64), _Block(64), _down(64, 128), _Block(128), _Block(128)
        )
        self.middle = nn.Sequential(_down(128, 192), _Block(192), _Block(192))
        self.coarse = nn.Sequential(_down(192, 256), _Block(256), _Block(256))
        self.coarse_up = nn.Conv2d(256, 192, 1)
        self.merge = _Block(192)
        self.middle_up = nn.Conv2d(192, 128, 1)
        self.last = _Block(128)
        self.out = nn.Conv2d(128, width, 1)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Tokens (B, H / 8 * W / 8, width), row by row, of normalised pixels (B, 3, H, W).

        H and W are multiples of 32.
        """
        fine = self.fine(pixels)
        middle = self.middle(fine)
        coarse = self.coarse_up(self.coarse(middle))
        middle = self.merge(middle + F.interpolate(coarse, scale_factor=2.0))
        fine = self.last(fine + F.interpolate(self.middle_up(middle), scale_factor=2.0))
        tokens: Tensor = self.norm(self.out(fine).flatten(2).transpose(1, 2))
        return tokens


def mean_similarity(tokens: Tensor, taught: Tensor) -> Tensor:
    """Mean cosine of tokens (..., d) and the teacher's."""
    return F.cosine_similarity(tokens.float(), taught.float(), dim=-1).mean()


def load_teacher(path: Path, width: int) -> ConvTeacher:
    """The teacher whose weights (safetensors) are at `path`, in evaluation mode."""
    teacher = ConvTeacher(width)
    teacher.load_state_dict(load_file(path))
    return teacher.eval().requires_grad_(False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, scores and exports into the work folder: only training needs the teacher."""
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
    classifier = KindClassifier(options.width).to(device)
    optimiser = adamw(nn.ModuleList([teacher, classifier]), settings.rate)
    memory, ema = FeatureMemory(options.width, options.memory, device), Ema(teacher, 0.995)
    run = Run(
        settings,
        {
            "teacher": teacher,
            "namer": classifier,
            "memory": memory,
            "optimiser": optimiser,
            "ema": ema,
        },
    )
    pool = ScenePool(
        draw_image,
        options.pool,
        SIDE,
        position=run.step * options.fresh,
        workers=settings.workers,
    )
    for _ in run.steps():
        batch = load_region_batch(pool, run.rng.integers(0, len(pool), settings.batch), run.rng)
        weights = coverage(batch.regions.numpy(), run.rng).to(device)
        with run.autocast():
            tokens = teacher(normalised(batch.images.to(device)))
        features, kinds = pool_labelled(tokens, weights, batch.classes.to(device))
        contrast = contrastive_loss(features, kinds, memory)
        losses, right = classifier(features, kinds)
        memory.add(features, kinds)
        run.update(contrast + 0.5 * losses.mean(), teacher, optimiser, ema, most_norm=1.0)
        nameless = kinds >= FIRST_SPECIES
        run.record(contrast=contrast.detach(), classes=losses.detach().mean())
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
