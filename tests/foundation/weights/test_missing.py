"""The error for a model that is not here says what, how large, and which command fetches it."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.stack import ModelStack
from foundation.weights.missing import Caller, gigabytes, missing_model
from foundation.weights.roles import query_purposes, roles_for
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
        "run `rim fetch --preset paper --for query`, or name a folder that holds them"
    )
    with pytest.raises(ModelError) as caught:
        _ = stack.text_to_image
    assert str(caught.value) == (
        "models.text_to_image: expected the weights of stable-diffusion-v1-5/stable-diffusion-v1-5 "
        "(5.5 GB) on this machine, found none; run `rim fetch --preset paper --for build`, or name "
        "a folder that holds them"
    )
    assert hub.requests == []


@pytest.mark.parametrize(
    ("preset", "command"),
    [
        ("paper", "run `rim fetch --preset paper --for text`,"),
        ("fast", "run `rim fetch --preset fast --for text`,"),
        ("", "run `rim fetch --preset fast --for text`,"),
        ("miniature", "run `rim fetch --preset fast --for text`,"),  # settings changed by --set
        ("mine", "run `rim fetch --preset mine.toml --for text`,"),
        ("my presets/mine.toml", "run `rim fetch --preset 'my presets/mine.toml' --for text`,"),
    ],
)
def test_the_preset_that_has_the_model_is_named(preset: str, command: str) -> None:
    source = load_settings("paper").models.text_image  # in both shipped presets
    source = source.model_copy(update={"size_gb": None})
    text = str(missing_model(source, "text_image", Caller(preset)))
    assert command in text
    assert "(1.7 GB)" in text  # also for the settings of a bank that tell no size


@pytest.mark.parametrize(
    ("role", "purposes", "told"),
    [
        ("segmenter", ("build",), "--for build"),
        ("text_to_image", ("build",), "--for build"),
        ("segmenter", ("query", "text"), "--for query --for text"),
        ("text_image", ("query",), "--for query --for text"),
        ("features", ("eval",), "--for eval"),
        ("features", (), "--for query"),
    ],
)
def test_the_command_is_enough(role: str, purposes: tuple[str, ...], told: str) -> None:
    """One call of what it names leaves nothing missing for the caller's purposes."""
    settings = load_settings("paper")
    source = settings.models.sources()[role]
    text = str(missing_model(source, role, Caller("paper", purposes=purposes)))
    assert f"`rim fetch --preset paper {told}`" in text
    fetched = roles_for(told.removeprefix("--for ").split(" --for "), settings)
    assert {role, *roles_for(purposes, settings)} <= set(fetched)
    text = str(missing_model(source, role, Caller("paper", Path("my bank"), purposes)))
    assert f"`rim fetch --bank 'my bank' {told}`" in text


def test_what_purposes_take() -> None:
    settings = load_settings("paper")
    photos = ("segmenter", "features")
    assert roles_for(("build",), settings) == ("text_to_image", *photos)
    assert roles_for(("query",), settings) == roles_for(("eval",), settings) == photos
    assert roles_for(("text",), settings) == ("text_image",)
    assert roles_for(("text", "query"), settings) == (*photos, "text_image")
    weighted = load_settings("paper", ["matching.text_weight=0.1"])
    assert roles_for(("query",), weighted) == (*photos, "text_image")
    assert query_purposes(settings) == ("query",)
    assert query_purposes(weighted) == ("query", "text")


def test_a_model_that_no_preset_has() -> None:
    caller = Caller("paper")
    text = str(missing_model(ModelSource(location="own/er"), "features", caller))
    assert "the weights of own/er on this machine" in text
    assert "run `rim fetch` with a preset that names it, or name a folder" in text
    other = ModelSource(location="facebook/dinov2-large", revision="abc", size_gb=0.25)
    text = str(missing_model(other, "features", caller))
    assert "(250 MB)" in text
    assert "with a preset that names it" in text


def test_every_full_size_preset_tells_sizes_and_licences() -> None:
    for name in ("paper", "fast"):
        settings: Settings = load_settings(name)
        for role in type(settings.models).model_fields:
            source: ModelSource = getattr(settings.models, role)
            assert source.download_bytes
            assert source.revision or source.sha256
            assert source.licence != "unknown"


@pytest.mark.parametrize(
    ("size", "text"), [(5.5e9, "5.5 GB"), (2.56e9, "2.6 GB"), (375e6, "375 MB"), (0, "0 MB")]
)
def test_sizes_for_people(size: float, text: str) -> None:
    assert gigabytes(size) == text
