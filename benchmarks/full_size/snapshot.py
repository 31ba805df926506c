"""A complete random-weight snapshot of a full-size stack, in the formats of the real weights.

    python -m benchmarks.full_size.snapshot DIR

Stable Diffusion v1.5 with its safety checker, SAM ViT-B, DINOv2 ViT-B/14 and CLIP ViT-L/14, about
9 GB, in the files in which they were published (see `published`), and the preset
`DIR/rehearsal.toml` that names them, with every gate open, so that noise passes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from benchmarks.full_size.architectures import clip_large, dinov2_base, sd15, seeded
from benchmarks.full_size.published import write_clip, write_dinov2, write_stable_diffusion
from foundation.sam_checkpoint import PUBLISHED, build_sam
from schemas.settings import SamArchitecture

PRESET = "rehearsal.toml"
_REDUCED_SAM = SamArchitecture(
    image_size=320,
    patch_size=16,
    embed_dim=128,
    depth=2,
    num_heads=2,
    global_attn_indexes=(1,),
    window_size=14,
    out_chans=256,
    decoder_heads=8,
    decoder_mlp=2048,
)
_PRESET_TEXT = """\
description = "Full-size architectures with random weights: proves the way, not the labels"

[models.text_to_image]
location = "text-to-image"

[models.segmenter]
location = "sam_vit_b.pth"
architecture = {architecture}

[models.features]
location = "features"

[models.text_image]
location = "clip"

[generation]
images_per_category = 1
steps = 2
batch_size = 1
height = {side}
width = {side}

[reference]
min_quality = 0.0
min_agreement = 0.0
min_area = 0.0
max_excess = 1.0

[proposals]
grid = {grid}
min_quality = 0.0
min_stability = 0.0
"""


def write_snapshot(folder: Path, reduced: bool = False) -> Path:
    """Writes what is missing of the snapshot; returns the preset's path, which is written last.

    reduced: with fewer and narrower layers (115 MB), for images of 128 x 128.
    """
    preset = folder / PRESET
    if preset.exists():
        return preset
    folder.mkdir(parents=True, exist_ok=True)
    write_stable_diffusion(sd15(reduced, checked=True), folder / "text-to-image")
    sizes = _REDUCED_SAM if reduced else PUBLISHED["vit_b"]
    with seeded():
        torch.save(build_sam(sizes).state_dict(), folder / "sam_vit_b.pth")
    write_dinov2(dinov2_base(reduced), folder / "features")
    write_clip(clip_large(reduced), folder / "clip")
    architecture = _toml_table(sizes) if reduced else '"vit_b"'
    side, grid = (128, 4) if reduced else (512, 8)
    text = _PRESET_TEXT.format(architecture=architecture, side=side, grid=grid)
    preset.write_text(text, encoding="utf-8")
    return preset


def _toml_table(sizes: SamArchitecture) -> str:
    values = (f"{name} = {json.dumps(value)}" for name, value in sizes.model_dump().items())
    return f"{{ {', '.join(values)} }}"


def main() -> None:
    """Writes the snapshot into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    print(write_snapshot(parser.parse_args().folder))


if __name__ == "__main__":
    main()
