"""The error for a model that is not here says what, how large, and which command fetches it."""

from __future__ import annotations

import pytest

from foundation.missing import gigabytes, missing_model
from foundation.stack import ModelStack
from schemas.errors import ModelError
from schemas.settings import ModelSource, Settings, load_settings
from tests.stand_in_hub import StandInHub

SAM_H = "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth"


def test_the_whole_text_for_a_shipped_preset(hub: StandInHub) -> None:
    stack = ModelStack(load_settings("paper"), device="cpu")
    with pytest.raises(ModelError) as caught:
        _ = stack.segmenter
    assert str(caught.value) == (
        f"models.segmenter: expected the weights of {SAM_H} (2.6 GB) on this machine, found none; "
        "run `rim fetch --preset paper`, or name a folder that holds them"
    )
    with pytest.raises(ModelError) as caught:
        _ = stack.features
    assert str(caught.value) == (
        "models.features: expected the weights of facebook/dinov2-large (1.2 GB) on this machine, "
        "found none; run `rim fetch --preset paper`, or name a folder that holds them"
    )
    assert hub.requests == []


@pytest.mark.parametrize(
    ("preset", "command"),
    [
        ("paper", "run `rim fetch --preset paper`,"),
        ("fast", "run `rim fetch --preset fast`,"),
        ("", "run `rim fetch --preset fast`,"),
        ("miniature", "run `rim fetch --preset fast`,"),  # settings that were changed by --set
        ("mine", "run `rim fetch --preset mine.toml`,"),
    ],
)
def test_the_preset_that_has_the_model_is_named(preset: str, command: str) -> None:
    source = ModelSource(location="openai/clip-vit-large-patch14")  # in both shipped presets
    text = str(missing_model(source, "text_image", preset))
    assert command in text
    assert "(1.7 GB)" in text  # also for the settings of a bank that tell no size


def test_a_model_that_no_preset_has() -> None:
    text = str(missing_model(ModelSource(location="own/er"), "features", "paper"))
    assert "the weights of own/er on this machine" in text
    assert "run `rim fetch` with a preset that names it, or name a folder" in text
    pinned = ModelSource(location="facebook/dinov2-large", revision="abc", size_gb=0.25)
    text = str(missing_model(pinned, "features", "paper"))
    assert "(250 MB)" in text
    assert "with a preset that names it" in text


def test_every_full_size_preset_tells_sizes_and_licences() -> None:
    for name in ("paper", "fast"):
        settings: Settings = load_settings(name)
        for role in type(settings.models).model_fields:
            source: ModelSource = getattr(settings.models, role)
            assert source.size_gb
            assert source.licence != "unknown"


@pytest.mark.parametrize(
    ("size", "text"), [(5.5e9, "5.5 GB"), (2.56e9, "2.6 GB"), (375e6, "375 MB"), (0, "0 MB")]
)
def test_sizes_for_people(size: float, text: str) -> None:
    assert gigabytes(size) == text
