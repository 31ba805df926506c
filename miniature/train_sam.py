"""Train the miniature SAM, segment-anything's own classes at small sizes, on fresh scenes.

Each picture is embedded once and prompted many times, by one point or by a few. The first of the
three masks learns the part under the point (a wheel, a roof), the other two compete for the whole
thing or stuff region. Beside familiar things the scenes hold nameless species and polygons without
end, so that it learns to segment anything; the novel categories of the world are never shown.

    python -m miniature.train_sam --work W/sam --minutes 45
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor, nn

from foundation.sam_checkpoint import build_sam
from miniature.augment import vary
from miniature.sam_prompts import Prompts, draw_prompts, target_masks
from miniature.sam_scores import score_sam
from miniature.scene_pool import NOTHING, Picture, ScenePool, pack
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
from miniature.world import CATEGORIES, FAMILIAR, STUFF, draw_scene, draw_single
from schemas.settings import SamArchitecture

ARCHITECTURE = SamArchitecture(
    image_size=128,
    patch_size=8,
    embed_dim=128,
    depth=6,
    num_heads=4,
    global_attn_indexes=(1, 3, 5),
    window_size=8,
    out_chans=96,
    decoder_heads=4,
    decoder_mlp=256,
)
SIDE = ARCHITECTURE.image_size
PART_DISCOUNT = 0.88  # a part counts less than an equally good whole, so that the whole is chosen
_STUFF = [CATEGORIES.index(name) for name in STUFF]
_SIZES = ((128, 128),) * 5 + ((96, 128), (128, 96), (80, 128), (160, 160))


def draw_picture(number: int) -> Picture:
    """Picture `number` of the training stream: scenes of familiar things, species and polygons."""
    rng = np.random.default_rng([number, 50])
    seed = 2_000_000 + number
    size = _SIZES[int(rng.integers(len(_SIZES)))]
    draw = rng.random()
    if draw < 0.04:
        return pack(draw_single(seed, str(rng.choice(STUFF))), SIDE)
    species = [f"{SPECIES}{int(i)}" for i in rng.integers(0, 2**30, 4)]
    familiar = [str(kind) for kind in rng.choice(FAMILIAR, 3)]
    if draw < 0.34:
        side = 64 if rng.random() < 0.8 else int(rng.integers(64, 129))
        kind = familiar[0] if rng.random() < 0.5 else species[0]
        return pack(draw_species_scene(seed, [kind], (side, side), single=True), SIDE)
    if draw < 0.55:
        shapes = int(rng.integers(1, 4))
        return pack(draw_scene(seed, size, things=FAMILIAR, shapes=shapes), SIDE)
    kinds = [str(kind) for kind in rng.permutation(familiar + species)[: int(rng.integers(2, 8))]]
    return pack(draw_species_scene(seed, kinds, size), SIDE)


def decode(sam: Sam, embeddings: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """All four masks (B * P, 4, S / 2, S / 2) and their predicted IoU, for P prompts on each image.

    The mask decoder's own `forward` takes one image; this is the same for a batch of them.
    """
    decoder, prompt = sam.mask_decoder, sam.prompt_encoder
    labels = torch.ones(points.shape[:2], dtype=torch.int32, device=points.device)
    sparse, dense = prompt(points=(points, labels), boxes=None, masks=None)
    fixed = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([fixed.expand(len(points), -1, -1), sparse], 1)
    repeat = len(points) // len(embeddings)
    source = embeddings.repeat_interleave(repeat, 0) + dense
    positions = prompt.get_dense_pe().expand(len(points), -1, -1, -1)
    answers, source = decoder.transformer(source, positions, tokens)
    grid = embeddings.shape[-2:]
    fine = decoder.output_upscaling(source.transpose(1, 2).unflatten(2, grid))
    masks = [mlp(answers[:, i + 1]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    logits = (torch.stack(masks, 1) @ fine.flatten(2)).unflatten(2, fine.shape[-2:])
    return logits, decoder.iou_prediction_head(answers[:, 0])


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy (3) and dice (1) loss of each mask, over the last two dimensions, soft targets.

    SAM itself has a focal loss in place of the cross-entropy; in runs as short as these it leaves
    masks undecided.
    """
    share = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((-2, -1))
    both = (share * target).sum((-2, -1))
    dice = 1 - (2 * both + 1) / (share.sum((-2, -1)) + target.sum((-2, -1)) + 1)
    return 3 * entropy + dice


@torch.no_grad()
def true_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of each mask with its target, both cut to yes or no."""
    mask, truth = logits > 0, target > 0.5
    both, either = (mask & truth).sum((-2, -1)), (mask | truth).sum((-2, -1))
    return both / either.clamp(min=1)


def prompt_loss(
    sam: Sam, embeddings: Tensor, prompts: Prompts, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss of a group of prompts with equally many points, and the mean IoU of the chosen mask."""
    device = embeddings.device
    logits, predicted = decode(sam, embeddings, prompts.points.to(device))
    targets = targets.to(device)
    wanted = targets[:, (1, 0, 1, 1)]  # the single mask, the part, two for the whole
    with torch.autocast(device.type, enabled=False):
        logits, predicted = logits.float(), predicted.float()
        losses = mask_loss(logits, wanted)
        whole = losses[:, 2:]
        masks = 0.3 * losses[:, 0] + 0.5 * losses[:, 1]
        masks = masks + whole.min(1).values + 0.1 * whole.max(1).values
        quality = true_iou(logits, wanted)
        scale = torch.tensor((1.0, PART_DISCOUNT, 1.0, 1.0), device=device)
        judged = (predicted - quality * scale).square().sum(1)
        asked = (prompts.regions != NOTHING).float().to(device)
        loss = ((masks + judged) * asked).sum() / asked.sum().clamp(min=1)
    chosen = quality[:, 1:].gather(1, predicted[:, 1:].argmax(1, keepdim=True))
    return loss, chosen.mean()


def preprocess(sam: Sam, images: Tensor, regions: Tensor) -> Tensor:
    """As `Sam.preprocess` does: normalised, and zero where the picture is padding."""
    inside = (regions != NOTHING)[:, None]
    pixels = images * 255
    normalised: Tensor = (pixels.to(sam.device) - sam.pixel_mean) / sam.pixel_std
    return normalised * inside.to(sam.device)


def export(sam: Sam, path: Path) -> None:
    """Write the state dict (fp16) so that a reader sees the old or the new file, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().half().cpu() for name, value in sam.state_dict().items()}
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, score and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common_arguments(parser, export=Path("data/miniature/sam.pth"), steps=8000, batch=12, rate=1e-3)
    parser.add_argument("--prompts", type=int, default=5, help="one-point prompts a picture")
    parser.add_argument("--groups", type=int, default=2, help="prompts of 2-4 points a picture")
    parser.add_argument("--pool", type=int, default=1024, help="pictures held (default 1024)")
    parser.add_argument("--fresh", type=int, default=3, help="pictures drawn a step (default 3)")
    parser.add_argument(
        "--score", type=int, default=60, help="scenes to score on (default 60; 0: none)"
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    sam = build_sam(ARCHITECTURE).to(settings.device).train()
    optimiser = adamw(sam, settings.rate)
    ema = Ema(sam, 0.995)
    run = Run(settings, {"model": sam, "optimiser": optimiser, "ema": ema})
    position = run.step * options.fresh
    pool = ScenePool(draw_picture, options.pool, SIDE, position=position, workers=settings.workers)
    exported = run.seconds
    for _ in run.steps():
        set_learning_rate(optimiser, run.learning_rate())
        slots = run.rng.integers(0, len(pool), settings.batch)
        maps = np.stack([pool.regions[slots], pool.parts[slots]], 1)
        images, truth = vary(pool.images[slots], maps, run.rng)
        regions, parts = truth.unbind(1)
        stuff = np.isin(pool.classes[slots], _STUFF)
        groups = ((options.prompts, 1), (options.groups, int(run.rng.integers(2, 5))))
        total = torch.zeros((), device=settings.device)
        with run.autocast():
            embeddings = sam.image_encoder(preprocess(sam, images, regions))
            for prompts_each, points in groups:
                prompts = draw_prompts(
                    regions.numpy(), parts.numpy(), stuff, prompts_each, points, run.rng
                )
                targets = target_masks(regions, parts, prompts)
                loss, iou = prompt_loss(sam, embeddings, prompts, targets)
                total = total + loss * prompts_each / (options.prompts + options.groups)
                run.record(**{f"loss{min(points, 2)}": loss.detach(), f"iou{min(points, 2)}": iou})
        optimiser.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimiser.step()
        ema.update(sam)
        run.record(norm=norm)
        pool.advance(options.fresh)
        if run.export_due(exported):
            export(ema.module, settings.export)
            exported = run.seconds
            log.info("exported; %s", score_sam(ema.module, scenes=12).line())
    export(ema.module, settings.export)
    if options.score:
        scores = score_sam(ema.module, scenes=options.score)
        log.info("%s", scores.line())
        described = {**scores.as_dict(), "steps": run.step, "seconds": round(run.seconds)}
        report = settings.export.with_name(f"{settings.export.stem}-scores.json")
        report.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main()
