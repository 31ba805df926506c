"""The error for a model that is not on this machine: what, how large, and what fetches it."""

from __future__ import annotations

from schemas.errors import ModelError
from schemas.resources import preset_names
from schemas.settings import ModelSource, load_settings


def missing_model(source: ModelSource, role: str, preset: str = "") -> ModelError:
    """The one error for weights that were looked for on this machine only.

    Args:
        role: the model's key in the settings' section `models`.
        preset: the name that the settings were read under, if known. Where that shipped preset has
            another model by now, or settings were changed, one that has this model is named.
    """
    known = _shipped(source, role)
    size = source.size_gb or next((size for size in known.values() if size), None)
    if preset and preset not in preset_names():
        name = f"{preset}.toml"
    else:
        name = preset if preset in known else next(iter(known), "")
    command = f"`rim fetch --preset {name}`" if name else "`rim fetch` with a preset that names it"
    return ModelError(
        f"models.{role}: expected the weights of {source.location}"
        f"{f' ({gigabytes(size * 1e9)})' if size else ''} on this machine, found none; "
        f"run {command}, or name a folder that holds them"
    )


def gigabytes(size: float) -> str:
    """Bytes for people: GB with one decimal from 1 GB on, MB below."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _shipped(source: ModelSource, role: str) -> dict[str, float | None]:
    """The shipped presets that have this very model in that role, with the size they tell."""
    found = {}
    for name in preset_names():
        own: ModelSource = getattr(load_settings(name).models, role)
        if (own.location, own.revision) == (source.location, source.revision):
            found[name] = own.size_gb
    return found
