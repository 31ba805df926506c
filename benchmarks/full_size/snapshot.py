"""A complete random-weight snapshot of a full-size stack, in the formats of the real weights.

    python -m benchmarks.full_size.snapshot DIR

Stable Diffusion v1.5, SAM ViT-B, DINOv2 ViT-B/14 and CLIP ViT-L/14, about 8 GB, and the preset
`DIR/rehearsal.toml` that names them, with every gate open, so that noise passes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import BitImageProcessor, CLIPImageProcessor

from benchmarks.full_size.architectures import clip_large, dinov2_base, sd15, seeded, tokenizer
from foundation.sam_checkpoint import PUBLISHED, build_sam

PRESET = "rehearsal.toml"
_PRESET_TEXT = """\
description = "Full-size architectures with random weights: proves the way, not the labels"

[models.text_to_image]
location = "text-to-image"

[models.segmenter]
location = "sam_vit_b.pth"
architecture = "vit_b"

[models.features]
location = "features"

[models.text_image]
location = "clip"

[generation]
images_per_category = 1
steps = 2
batch_size = 1

[reference]
min_quality = 0.0
min_agreement = 0.0
min_area = 0.0
max_excess = 1.0

[proposals]
grid = 8
min_quality = 0.0
min_stability = 0.0
"""


def write_snapshot(folder: Path) -> Path:
    """Write what is missing of the snapshot; returns the preset's path, which is written last."""
    preset = folder / PRESET
    if preset.exists():
        return preset
    folder.mkdir(parents=True, exist_ok=True)
    sd15().save_pretrained(folder / "text-to-image", safe_serialization=True)
    with seeded():
        torch.save(build_sam(PUBLISHED["vit_b"]).state_dict(), folder / "sam_vit_b.pth")
    dinov2_base().save_pretrained(folder / "features")
    BitImageProcessor(
        size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}
    ).save_pretrained(folder / "features")
    clip_large().save_pretrained(folder / "clip")
    tokenizer().save_pretrained(folder / "clip")
    CLIPImageProcessor().save_pretrained(folder / "clip")
    preset.write_text(_PRESET_TEXT, encoding="utf-8")
    return preset


def main() -> None:
    """Write the snapshot into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    print(write_snapshot(parser.parse_args().folder))


if __name__ == "__main__":
    main()
