"""Settings: all sections together, read from a preset (a TOML file) and changed by overrides."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.digests import canonical_json, sha256_bytes
from schemas.errors import SettingsError
from schemas.resources import preset_names, preset_path
from schemas.sections import (
    Build,
    Features,
    Generation,
    Localisation,
    Matching,
    Models,
    ModelSource,
    Proposals,
    Reference,
    SamArchitecture,
    Section,
    SegmenterSource,
)
from schemas.text import did_you_mean, printable
from schemas.validation import set_value, validate

__all__ = [
    "COMPARING_IMAGES",
    "Build",
    "Features",
    "Generation",
    "Localisation",
    "Matching",
    "ModelSource",
    "Models",
    "Proposals",
    "Reference",
    "SamArchitecture",
    "SegmenterSource",
    "Settings",
    "apply_overrides",
    "differences",
    "load_settings",
]

COMPARING_IMAGES = ("max_excess", "outlier_mads", "confusion_margin")
"""Settings of `reference` that compare finished images: no shard depends on them, verdicts do."""

_NOTES_ON_MODELS = {"licence", "size_gb", "sha256", "size"}
"""What is said about a model's files and does not choose them."""

_OF_EVERY_SHARD = dict.fromkeys(("reference", "features", "build"), True)
_DETERMINING: dict[str, dict[str, Any]] = {
    "diffusion": _OF_EVERY_SHARD | dict.fromkeys(("models", "generation", "localisation"), True),
    "folder": _OF_EVERY_SHARD
    | {"models": {"segmenter": True, "features": True}, "localisation": {"points": True}},
}
"""The settings that a shard's bytes depend on, by its source."""


class Settings(Section):
    """All settings of a bank.

    Attributes:
        preset: the name they were read under.
        description: one line for users.
        known_categories: the only names that the generator knows; none: any.
        models, generation, localisation, reference, features, build, proposals, matching: the
            sections.
    """

    preset: str
    description: str = ""
    known_categories: tuple[str, ...] | None = None
    models: Models
    generation: Generation = Generation()
    localisation: Localisation = Localisation()
    reference: Reference = Reference()
    features: Features = Features()
    build: Build = Build()
    proposals: Proposals = Proposals()
    matching: Matching = Matching()

    def build_hash(self, source: str = "diffusion") -> str:
        """SHA-256 over what determines the bytes of a source's shard, as 64 hexadecimal digits.

        In: models, generation, localisation, reference, features, build. Out of them: licences,
        sizes and digests of models (a bank has fingerprints of what was loaded), the number of
        images per category, and what compares images with each other afterwards. For photos
        (source "folder"), which are not generated, only the segmenter, the features and the number
        of prompt points are in of the first three.
        """
        return sha256_bytes(canonical_json(self._hashed(source)))

    def differences(self, other: Settings, source: str = "diffusion") -> list[str]:
        """What makes the build hashes differ, as "section.key: own value != the other's"."""
        return [
            f"{key}: {own} != {others}"
            for key, own, others in differences(self._hashed(source), other._hashed(source))
        ]

    def _hashed(self, source: str) -> dict[str, Any]:
        return self.model_dump(
            mode="json",
            include=_DETERMINING[source],
            exclude={
                "models": dict.fromkeys(Models.model_fields, _NOTES_ON_MODELS),
                "generation": {"images_per_category"},
                "reference": set(COMPARING_IMAGES),
            },
        )


def load_settings(preset: str, overrides: Sequence[str] = ()) -> Settings:
    """Reads a shipped preset by its name, or a file NAME.toml, and applies overrides to it.

    A model's location in a user's file may be relative to that file; it becomes absolute.

    overrides: "section.key=value" each, the value in TOML's syntax (a bare word is a text, `none`
    switches off what can be off).

    Raises SettingsError, one line that names preset, section and key, for anything unknown or out
    of range.
    """
    if preset.endswith(".toml"):
        path, shipped = Path(preset), False
    elif preset in preset_names():
        path, shipped = preset_path(preset), True
    else:
        raise SettingsError(
            f"expected a preset or a .toml file, found {preset!r}"
            f"{did_you_mean(preset, preset_names())}; presets: {', '.join(preset_names())}"
        )
    data = {"preset": path.stem} | _read_toml(path)
    if not shipped:
        _resolve_locations(data, path.resolve().parent)
    return apply_overrides(validate(Settings, data, str(path)), overrides)


def apply_overrides(settings: Settings, overrides: Sequence[str]) -> Settings:
    """The settings with "section.key=value" applied, the last one winning; see `load_settings`."""
    if not overrides:
        return settings
    data = settings.model_dump(mode="json")
    for override in overrides:
        set_value(Settings, data, override)
    return validate(Settings, data, "settings")


def differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The values in which two plain forms of settings differ, by ascending key.

    own, other: nested mappings, such as of JSON. Returns the dotted key, the own value and the
    other's of each, None where there is none.
    """
    ours, others = _flatten(own), _flatten(other)
    return [
        (key, ours.get(key), others.get(key))
        for key in sorted(ours.keys() | others.keys())
        if ours.get(key) != others.get(key)
    ]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the preset {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: expected UTF-8 at position {error.start}") from error
    except (ValueError, RecursionError) as error:  # of too many digits or brackets: no TOML errors
        raise SettingsError(f"{path}: expected TOML, found: {printable(error)}") from error


def _resolve_locations(data: dict[str, Any], folder: Path) -> None:
    """Makes those locations absolute that exist beside the preset; the others are hub ids."""
    models = data.get("models")
    for source in models.values() if isinstance(models, dict) else ():
        location = source.get("location") if isinstance(source, dict) else None
        if isinstance(location, str) and location and (folder / location).exists():
            source["location"] = str(folder / location)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
