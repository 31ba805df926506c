"""Train the miniature SAM, segment-anything's own classes at small sizes, on fresh scenes.

Each image is embedded once and prompted a few times, by one point or by several. The first of the
three masks learns the part under the point (a wheel, a roof), the other two compete for the whole
thing or stuff region. Beside it, codes of single pixels are read off the embedding, alike within a
region, which trains the image encoder several times faster than prompts alone.

    python -m miniature.training.train_sam --work W/sam --minutes 85
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from foundation.sam_checkpoint import build_sam
from miniature.training.loop import (
    Ema,
    Run,
    common_arguments,
    log,
    muon,
    save_half,
    settings_of,
)
from miniature.training.sam import (
    SIDE,
    DenseHead,
    draw_image,
    draw_queries,
    load_prompt_batch,
    prompt_loss,
    target_masks,
)
from miniature.training.sam_scores import score_sam
from miniature.training.scenes import ScenePool
from schemas.settings import SamArchitecture

ARCHITECTURE = SamArchitecture(
    image_size=SIDE,
    patch_size=8,
    embed_dim=192,
    depth=6,
    num_heads=3,
    global_attn_indexes=(2, 5),
    window_size=8,
    out_chans=128,
    decoder_heads=4,
    decoder_mlp=256,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, scores and exports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common_arguments(parser, export=Path("data/miniature/sam.pth"), steps=8000, batch=16, rate=2e-3)
    parser.add_argument("--prompts", type=int, default=3, help="prompts an image")
    parser.add_argument(
        "--several", type=float, default=0.25, help="share of steps with prompts of 2-4 points"
    )
    parser.add_argument("--queries", type=int, default=48, help="pixels an image, dense head")
    parser.add_argument("--pool", type=int, default=1024, help="pictures held (default 1024)")
    parser.add_argument("--fresh", type=int, default=2, help="pictures drawn a step (default 2)")
    parser.add_argument(
        "--score", type=int, default=60, help="scenes to score on (default 60; 0: none)"
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    device = settings.device
    sam = build_sam(ARCHITECTURE).to(device).train()
    dense = DenseHead(ARCHITECTURE.out_chans).to(device)
    optimiser = muon(nn.ModuleList([sam, dense]), settings.rate)
    ema = Ema(sam, 0.995)
    run = Run(settings, {"model": sam, "dense": dense, "optimiser": optimiser, "ema": ema})
    position = run.step * options.fresh
    pool = ScenePool(draw_image, options.pool, SIDE, position=position, workers=settings.workers)
    exported = run.seconds
    for _ in run.steps():
        batch = load_prompt_batch(
            sam, pool, settings.batch, options.prompts, options.several, run.rng
        )
        targets = target_masks(batch.regions, batch.parts, batch.prompts)
        with run.autocast():
            embeddings = sam.image_encoder(batch.pixels)
            codes = dense(embeddings)
            loss, iou = prompt_loss(sam, embeddings, batch.prompts, targets)
        coarse = batch.regions[:, ::2, ::2].contiguous()
        queries = draw_queries(coarse, options.queries, run.rng)
        aid = dense.loss(codes.float(), coarse.to(device), queries.to(device))
        norm = run.update(loss + aid, sam, optimiser, ema, most_norm=1.0)
        run.record(loss=loss.detach(), dense=aid.detach(), iou=iou, norm=norm)
        pool.advance(options.fresh)
        if run.export_due(exported):
            save_half(ema.module, settings.export)
            exported = run.seconds
            log.info("exported; %s", score_sam(ema.module, scenes=12).line())
    save_half(ema.module, settings.export)
    if options.score:
        log.info("%s", score_sam(ema.module, scenes=options.score).line())


if __name__ == "__main__":
    main()
