"""Loading the text-to-image model: the diffusers pipelines whose cross-attention can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.pipelines.stable_diffusion import safety_checker

from foundation.loading import load_network, quiet
from foundation.precision import checker_type, compute_in, decode_in, fast_type
from foundation.text_to_image import DiffusersTextToImage
from schemas.errors import ModelError
from schemas.settings import Settings
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


def load(path: Path, settings: Settings, device: torch.device) -> DiffusersTextToImage:
    """Loads the text-to-image model of a stack.

    Its UNet and decoder compute in the device's fast type, its safety checker's vision transformer
    on a GPU in float16; see `foundation.precision`.

    Args:
        path: the pipeline's folder.
        settings: of a preset or a bank; the section `generation` counts.
        device: where it shall run.

    Raises:
        ModelError: see `load_pipeline`.
        SettingsError: see `DiffusersTextToImage`.
    """
    # Converted before it is moved: in float32 the device may have no room for it.
    pipeline = load_pipeline(path, torch.device("cpu"))
    dtype = fast_type(device)
    compute_in(pipeline.unet, dtype)
    decode_in(pipeline.vae, dtype)
    checker = getattr(pipeline, "safety_checker", None)
    if checker is not None:
        # Not the whole: it is given the images too, and passes them on.
        compute_in(checker.vision_model, checker_type(device))
    if device.type != "cpu":
        # One image fills a GPU; decoding a batch at once takes 0.4 GB an image for nothing.
        pipeline.vae.enable_slicing()
    generation = settings.generation
    model = DiffusersTextToImage(
        pipeline,
        steps=generation.steps,
        guidance_scale=generation.guidance_scale,
        height=generation.height,
        width=generation.width,
    )
    model.to(device)
    return model


def load_pipeline(folder: Path, device: torch.device) -> Any:
    """Loads the diffusers pipeline in a folder, in float32, onto a device.

    The class is looked up by its name among the supported ones, so that nothing else that the
    folder may name is ever loaded or run.

    Args:
        folder: as `save_pretrained` writes it, weights in safetensors.
        device: where it shall run.

    Raises:
        ModelError: the folder is no pipeline, one of another kind, one with code of its own, or one
            that lacks weights.
    """
    index = _index(folder)
    name = str(index["_class_name"])
    if name not in SUPPORTED:
        raise ModelError(
            f"models.text_to_image: expected a pipeline whose UNet attends to the prompt in "
            f"{folder}, found {name}; {_ADVICE}"
        )
    _check_parts(folder, index)
    networks = {
        part: load_network(kind, folder / part, "text_to_image")
        for part, kind in _networks(index).items()
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


def _networks(index: dict[str, Any]) -> dict[str, Any]:
    """The class of each part that has weights, by the part's name; `_check_parts` has passed it."""
    libraries = {
        "diffusers": diffusers,
        "transformers": transformers,
        "stable_diffusion": safety_checker,
    }
    found = {}
    for part, kind in index.items():
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
    """The content of model_index.json; ModelError if it cannot be read or names no class."""
    try:
        index: dict[str, Any] = json.loads((folder / "model_index.json").read_text("utf-8"))
        index["_class_name"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(
            f"models.text_to_image: expected a model in {folder} that can be loaded, found no "
            f"readable model_index.json with a class name; {_ADVICE}"
        ) from error
    return index


def _check_parts(folder: Path, index: dict[str, Any]) -> None:
    """Refuses parts of other libraries: their modules would be imported, whatever they are.

    Neither may a part be of a class that takes its real class from the part's own folder.
    """
    for part, kind in index.items():
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
