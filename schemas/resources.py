"""Where the files that come with rim lie: vocabularies, presets, masks, the miniature stack."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import RimError


def data_folder() -> Path:
    """The folder `data`: inside the package in an installed wheel, else beside it in a checkout.

    Raises RimError if neither is there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "data", package.parent / "data"):
        if folder.is_dir():
            return folder
    raise RimError(
        f"expected rim's data folder at {package / 'data'} or {package.parent / 'data'}, "
        "found neither; install rim again"
    )


def preset_path(name: str) -> Path:
    """Where the shipped preset of that name lies, whether or not it exists."""
    return data_folder() / "presets" / f"{name}.toml"


def vocabulary_path(name: str) -> Path:
    """Where the shipped vocabulary of that name lies, whether or not it exists."""
    return data_folder() / "vocabularies" / f"{name}.txt"


def check_photos_path() -> Path:
    """Where the file of masks lies that `rim check` compares with; see data/check/README.md."""
    return data_folder() / "check" / "photos.json"


def preset_names() -> tuple[str, ...]:
    """Names of the shipped presets, sorted."""
    return tuple(sorted(path.stem for path in (data_folder() / "presets").glob("*.toml")))


def vocabulary_names() -> tuple[str, ...]:
    """Names of the shipped vocabularies, sorted."""
    return tuple(sorted(path.stem for path in (data_folder() / "vocabularies").glob("*.txt")))
