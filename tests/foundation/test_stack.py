"""The four models as files, loaded by what a preset says."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from foundation.interfaces import Prompt
from foundation.stack import ROLES, ModelStack, choose_device
from schemas.errors import ModelError, UsageError
from schemas.settings import Settings, load_settings
from tests.foundation.conftest import make_pipeline

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def settings(stack_folder: Path) -> Settings:
    return load_settings(str(stack_folder / "tiny.toml"))


@pytest.fixture(scope="module")
def stack(settings: Settings) -> ModelStack:
    return ModelStack(settings, device="cpu")


def with_location(settings: Settings, role: str, path: Path) -> Settings:
    source = getattr(settings.models, role).model_copy(update={"location": str(path)})
    return settings.model_copy(update={"models": settings.models.model_copy(update={role: source})})


def test_every_role_works_from_its_files(
    stack: ModelStack, capfd: pytest.CaptureFixture[str]
) -> None:
    (image,) = stack.text_to_image.generate([Prompt("a photo of a house", 13, 18)], [0])
    assert image.image.shape == (16, 24, 3)
    embedding = stack.segmenter.embed(PICTURE)
    logits = stack.segmenter.predict(embedding, np.array([[[30, 20]]])).logits[0]
    assert stack.segmenter.upsample(embedding, logits).shape == (3, 40, 60)
    assert stack.features.extract([PICTURE])[0].shape == (4, 6, 16)
    cosines = stack.text_image.embed_texts(["a house"]) @ stack.text_image.embed_images([PICTURE]).T
    assert -1 <= cosines.item() <= 1
    assert capfd.readouterr() == ("", "")


def test_loaded_weights_are_the_saved_ones(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foundation.text_to_image import DiffusersTextToImage

    monkeypatch.setattr("foundation.text_to_image_loading.fast_type", lambda device: torch.float32)
    stack = ModelStack(settings, device="cpu")
    prompt = Prompt("a photo of a fishbowl", 13, 21)
    (loaded,) = stack.text_to_image.generate([prompt], [3])
    (made,) = DiffusersTextToImage(make_pipeline(), 2, 7.5, 16, 24).generate([prompt], [3])
    np.testing.assert_array_equal(loaded.image, made.image)
    np.testing.assert_array_equal(loaded.attention, made.attention)


def test_a_model_is_loaded_once_and_can_be_freed(settings: Settings) -> None:
    stack = ModelStack(settings, device="cpu")
    first = stack.features
    assert stack.features is first
    stack.free("features")
    stack.free("features")
    assert stack.features is not first
    with pytest.raises(UsageError, match="expected one of the roles"):
        stack.free("unet")


def test_fingerprints_of_all_roles(stack: ModelStack, settings: Settings) -> None:
    records = stack.fingerprints()
    assert set(records) == set(ROLES) == {"text_to_image", "segmenter", "features", "text_image"}
    assert len({record.fingerprint for record in records.values()}) == 4
    assert records["text_to_image"].licence == "Apache-2.0"
    assert records["text_to_image"].name == settings.models.text_to_image.location
    assert ModelStack(settings, device="cpu").fingerprints() == records


def test_missing_and_damaged_models_are_named(settings: Settings, tmp_path: Path) -> None:
    gone = ModelStack(with_location(settings, "features", tmp_path / "gone"), device="cpu")
    with pytest.raises(ModelError, match=r"models\.features.*found nothing"):
        _ = gone.features
    with pytest.raises(ModelError, match=r"models\.features"):
        gone.fingerprints()
    for role, file in [
        ("features", "model.safetensors"),
        ("text_image", "config.json"),
        ("text_to_image", "model_index.json"),
        ("text_to_image", "unet/diffusion_pytorch_model.safetensors"),
    ]:
        damaged = tmp_path / f"{role}-{Path(file).stem}"
        shutil.copytree(getattr(settings.models, role).location, damaged)
        (damaged / file).write_bytes(b"\0" * 40)
        stack = ModelStack(with_location(settings, role, damaged), device="cpu")
        with pytest.raises(ModelError, match=rf"models\.{role}: expected a model in"):
            getattr(stack, role)


def test_features_must_be_dino(settings: Settings) -> None:
    clip = Path(settings.models.text_image.location)
    with pytest.raises(ModelError, match="expected a DINOv2 or DINOv3 transformer"):
        _ = ModelStack(with_location(settings, "features", clip), device="cpu").features


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda")
    for name in ("gpu", "meta", "cuda:99"):
        with pytest.raises(UsageError, match=name):
            choose_device(name)
