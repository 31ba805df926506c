"""Loading the text-to-image pipelines whose cross-attention can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from foundation.loading import load_network, quiet
from schemas.errors import ModelError
from schemas.text import printable

# Stable Diffusion 1.x and 2.x and their Turbo forms; SDXL and its Turbo form; latent consistency
# models. All have a UNet with cross-attention to the tokens of the prompt.
SUPPORTED = (
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "LatentConsistencyModelPipeline",
)
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion")  # the last has the safety checker
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
        ModelError: the folder is no pipeline, one of another kind, one with code of its own, or one
            that lacks weights.
    """
    import diffusers

    name = pipeline_class(folder)
    if name not in SUPPORTED:
        raise ModelError(
            f"models.text_to_image: expected a pipeline whose UNet attends to the prompt in "
            f"{folder}, found {name}; {_ADVICE}"
        )
    _check_parts(folder)
    networks = {
        part: load_network(kind, folder / part, "text_to_image")
        for part, kind in _networks(folder).items()
    }
    # An installed watermarking library would otherwise change what an XL pipeline draws.
    options = {"add_watermarker": False} if name == "StableDiffusionXLPipeline" else {}
    with quiet():
        pipeline = getattr(diffusers, name).from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **networks,
            **options,
        )
    return pipeline.to(device)


def _networks(folder: Path) -> dict[str, Any]:
    """The class of each part that has weights, by the part's name; `_check_parts` has passed it."""
    import diffusers
    import transformers
    from diffusers.pipelines.stable_diffusion import safety_checker

    libraries = {
        "diffusers": diffusers,
        "transformers": transformers,
        "stable_diffusion": safety_checker,
    }
    found = {}
    for part, kind in _index(folder).items():
        if part.startswith("_") or not isinstance(kind, list) or kind[0] is None:
            continue
        class_ = getattr(libraries[kind[0]], kind[1], None)
        if isinstance(class_, type) and issubclass(class_, torch.nn.Module):
            found[part] = class_
    return found


def pipeline_class(folder: Path) -> str:
    """The name of the pipeline class that a folder's model_index.json states.

    Raises:
        ModelError: there is no such file, or it names no class.
    """
    return str(_index(folder)["_class_name"])


def _index(folder: Path) -> dict[str, Any]:
    """The content of model_index.json, which has a class name."""
    try:
        index: dict[str, Any] = json.loads((folder / "model_index.json").read_text("utf-8"))
        index["_class_name"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(
            f"models.text_to_image: expected a model in {folder} that can be loaded, found no "
            f"readable model_index.json with a class name; {_ADVICE}"
        ) from error
    return index


def _check_parts(folder: Path) -> None:
    """Refuses parts of other libraries: their modules would be imported, whatever they are.

    Neither may a part be of a class that takes its real class from the part's own folder.
    """
    for part, kind in _index(folder).items():
        if part.startswith("_") or not isinstance(kind, list):
            continue
        library, name = (*kind, None, None)[:2]
        if library is None and name is None:
            continue  # a part that is not there
        chosen = isinstance(name, str) and name.startswith("Auto") and "Autoencoder" not in name
        if library not in _LIBRARIES or not isinstance(name, str) or chosen:
            raise ModelError(
                f"models.text_to_image: expected parts out of {', '.join(_LIBRARIES)} in "
                f"{folder / 'model_index.json'}, found {printable(kind)} for {printable(part)}; "
                "code that comes with a model is never run"
            )
