"""Weights that a model's files lack are an error: the libraries would fill in random ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from foundation.stack import ModelStack
from schemas.errors import ModelError
from schemas.settings import load_settings


def without_one(folder: Path) -> str:
    """Takes the last weight out of a network's file, and returns its name there."""
    (file,) = folder.glob("*.safetensors")
    weights = load_file(file)
    name = [key for key in weights if key.endswith("weight")][-1]
    del weights[name]
    save_file(weights, file, metadata={"format": "pt"})
    return name


@pytest.mark.parametrize(
    ("role", "network"),
    [
        ("features", "."),
        ("text_image", "."),
        ("text_to_image", "unet"),
        ("text_to_image", "vae"),
        ("text_to_image", "text_encoder"),
    ],
)
def test_a_weight_that_is_not_in_the_files(
    role: str,
    network: str,
    stack_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(stack_folder, tmp_path / "stack")
    settings = load_settings(str(folder / "tiny.toml"))
    place = Path(getattr(settings.models, role).location) / network
    lacking = without_one(place)
    words = rf"models\.{role}: expected all weights of \w+ in .*found none for "
    with pytest.raises(ModelError, match=words) as caught:
        getattr(ModelStack(settings, "cpu"), role)
    # The libraries name a network's own weights without what comes before them in the file.
    assert lacking.endswith(str(caught.value).split("none for ")[1].split(";")[0])
    assert capfd.readouterr() == ("", "")
