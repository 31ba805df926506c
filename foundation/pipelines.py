"""Loading the text-to-image pipelines whose cross-attention can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from schemas.errors import ModelError

# Stable Diffusion 1.x and 2.x and their Turbo forms; SDXL and its Turbo form; latent consistency
# models. All have a UNet with cross-attention to the tokens of the prompt.
SUPPORTED = (
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "LatentConsistencyModelPipeline",
)
_ADVICE = (
    "supported: Stable Diffusion 1.x, 2.x and XL, their Turbo forms, latent consistency models"
)


def load_pipeline(folder: Path, device: torch.device) -> Any:
    """The diffusers pipeline in a folder, in float32 on its device.

    The class is looked up by its name among the supported ones, so that nothing else that the
    folder may name is ever loaded or run.

    Args:
        folder: as `save_pretrained` writes it, weights in safetensors.
        device: where it shall run.

    Raises:
        ModelError: the folder is no pipeline, or one of another kind.
    """
    import diffusers

    name = pipeline_class(folder)
    if name not in SUPPORTED:
        raise ModelError(
            f"models.text_to_image: expected a pipeline whose UNet attends to the prompt in "
            f"{folder}, found {name}; {_ADVICE}"
        )
    # An installed watermarking library would otherwise change what an XL pipeline draws.
    options = {"add_watermarker": False} if name == "StableDiffusionXLPipeline" else {}
    pipeline = getattr(diffusers, name).from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, **options
    )
    return pipeline.to(device)


def pipeline_class(folder: Path) -> str:
    """The name of the pipeline class that a folder's model_index.json states.

    Raises:
        ModelError: there is no such file, or it names no class.
    """
    index = folder / "model_index.json"
    try:
        name = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"models.text_to_image: expected a model in {folder} that can be loaded, found no "
            f"readable model_index.json with a class name; {_ADVICE}"
        ) from error
    return str(name)
