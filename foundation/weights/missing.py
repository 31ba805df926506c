"""The error for a model that is not on this machine: its name, its size, and what fetches it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from foundation.weights.roles import ROLES_OF
from schemas.errors import ModelError
from schemas.resources import preset_names
from schemas.settings import ModelSource, load_settings


@dataclass(frozen=True)
class Caller:
    """Who needs a model, so that an error can name the command that fetches all that is needed.

    Attributes:
        preset: the name that the settings were read under, or a file NAME.toml, if known.
        bank: whose models they are, if they are a bank's.
        purposes: what they are for, keys of `ROLES_OF`; if unknown, what the missing model is for.
    """

    preset: str = ""
    bank: Path | None = None
    purposes: tuple[str, ...] = ()


def missing_model(source: ModelSource, role: str, caller: Caller) -> ModelError:
    """The one error for weights that were looked for on this machine only.

    Args:
        role: the model's key in the settings' section `models`.
        caller: where its shipped preset has another model by now, or settings were changed, a
            preset that has this model is named.
    """
    known = _shipped(source, role)
    size = source.download_bytes or next((size for size in known.values() if size), None)
    return ModelError(
        f"models.{role}: expected the weights of {source.location}"
        f"{f' ({gigabytes(size)})' if size else ''} on this machine, found none; "
        f"run {_command(role, caller, tuple(known))}, or name a folder that holds them"
    )


def gigabytes(size: float) -> str:
    """A number of bytes in words: GB with one decimal from 1 GB on, MB below."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def fetch_command(place: str, purposes: tuple[str, ...]) -> str:
    """The `rim fetch` that downloads what some purposes take; place: its --preset or --bank."""
    return " ".join(["rim fetch", place, *(f"--for {purpose}" for purpose in purposes)])


def _command(role: str, caller: Caller, known: tuple[str, ...]) -> str:
    purposes = _covering(role, caller.purposes)
    if caller.bank is not None:
        return f"`{fetch_command(f'--bank {shlex.quote(str(caller.bank))}', purposes)}`"
    if caller.preset and caller.preset not in preset_names():
        name = f"{caller.preset.removesuffix('.toml')}.toml"
    else:
        name = caller.preset if caller.preset in known else next(iter(known), "")
    if not name:
        return "`rim fetch` with a preset that names it"
    return f"`{fetch_command(f'--preset {shlex.quote(name)}', purposes)}`"


def _covering(role: str, purposes: tuple[str, ...]) -> tuple[str, ...]:
    """The purposes, and one more if none of them takes a role."""
    if any(role in ROLES_OF[purpose] for purpose in purposes):
        return purposes
    own = {"text_to_image": "build", "text_image": "text"}
    return (*purposes, own.get(role, "query"))


def _shipped(source: ModelSource, role: str) -> dict[str, int | None]:
    """The shipped presets that have this very model in that role, with the bytes they tell."""
    found = {}
    for name in preset_names():
        own = load_settings(name).models.sources().get(role)
        if own is not None and (own.location, own.revision) == (source.location, source.revision):
            found[name] = own.download_bytes
    return found
