"""Where a model's files are looked for, and what their fingerprint depends on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foundation.weights import model_files as module
from foundation.weights.model_files import fingerprint, model_files, resolve
from schemas.errors import ModelError
from schemas.settings import ModelSource
from tests.stand_in_hub import StandInHub


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "unet" / "weights.safetensors").write_bytes(b"12345")
    return folder


def test_absolute_folders_and_paths_in_the_data_folder(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve(ModelSource(location=str(model)), "features") == model
    monkeypatch.setattr(module, "data_folder", lambda: model.parent)
    assert resolve(ModelSource(location="model"), "features") == model
    assert resolve(ModelSource(location="model/unet"), "features") == model / "unet"


@pytest.mark.parametrize("location", ["/nowhere/at/all", "nothing-of-this-name"])
def test_a_missing_folder_is_an_error_that_names_the_setting(location: str) -> None:
    with pytest.raises(ModelError, match=r"models\.segmenter.*found nothing"):
        resolve(ModelSource(location=location), "segmenter")


def test_a_model_that_is_not_here_is_an_error(hub: StandInHub) -> None:
    for location in ("nobody/nothing", "https://example.org/sam_vit_h_4b8939.pth"):
        with pytest.raises(ModelError, match=rf"models\.features: .*weights of {location} on this"):
            resolve(ModelSource(location=location), "features", offline=True)
    assert hub.requests == []


def test_a_model_at_a_commit_that_is_here_whole_asks_nothing(hub: StandInHub, model: Path) -> None:
    hub.models["owner/model"] = model
    source = ModelSource(location="owner/model", revision=hub.commit("owner/model"))
    folder = resolve(source, "features", offline=False)
    hub.requests.clear()
    assert resolve(source, "features", offline=False) == folder
    assert hub.requests == []
    (folder / "unet" / "weights.safetensors").unlink()
    assert resolve(source, "features", offline=False) == folder
    assert (folder / "unet" / "weights.safetensors").read_bytes() == b"12345"
    assert hub.requests


def test_a_hub_model_is_asked_for_by_id_and_revision(hub: StandInHub, model: Path) -> None:
    hub.models["owner/model"] = model
    commit = hub.commit("owner/model")
    source = ModelSource(location="owner/model", revision="v1")
    folder = resolve(source, "features", offline=False)
    assert folder.name == commit
    assert fingerprint(folder) == fingerprint(model)
    asked = [one.path for one in hub.requests]
    assert "/api/models/owner/model/revision/v1" in asked
    hub.requests.clear()
    assert resolve(source, "features", offline=True) == folder
    assert hub.requests == []
    hub.broken = True  # what is here is used where the hub is out of reach
    assert resolve(source, "features", offline=False) == folder


@pytest.mark.parametrize("location", ["owner/model", "ADDRESS/sam_4b8939.pth"])
def test_a_failed_download_is_an_error(hub: StandInHub, location: str) -> None:
    source = ModelSource(location=location.replace("ADDRESS", hub.address))
    message = r"models\.features: .* could not be downloaded \(404 .*run the same command again"
    with pytest.raises(ModelError, match=message):
        resolve(source, "features", offline=False)


@pytest.mark.parametrize(
    "location",
    [
        "http://example.org/sam.pth",
        "ftp://example.org/sam.pth",
        "http://127.0.0.1:80@example.org/sam.pth",
    ],
)
def test_addresses_must_be_encrypted_unless_they_are_local(location: str) -> None:
    with pytest.raises(ModelError, match=r"expected a model at .*found nothing"):
        resolve(ModelSource(location=location), "segmenter", offline=False)


def test_second_copies_and_notes_are_not_the_model(model: Path) -> None:
    before = model_files(model)
    assert before == [model / "config.json", model / "unet" / "weights.safetensors"]
    for name in (
        "README.md",
        ".gitattributes",
        "v1-5-pruned-emaonly.safetensors",
        "unet/weights.fp16.safetensors",
        "unet/weights.non_ema.safetensors",
        "unet/weights.bin",
        "unet/.hidden.json",
    ):
        (model / name).write_bytes(b"else")
    (model / ".cache").mkdir()
    (model / ".cache" / "note.json").write_bytes(b"else")
    assert model_files(model) == before


def test_the_fingerprint_is_that_of_names_and_contents(model: Path, tmp_path: Path) -> None:
    original = fingerprint(model)
    assert len(original) == 64
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(model, elsewhere)
    assert fingerprint(elsewhere) == original
    (elsewhere / "unet" / "weights.safetensors").write_bytes(b"12346")
    assert fingerprint(elsewhere) != original
    (model / "config.json").rename(model / "other.json")
    assert fingerprint(model) != original


def test_a_single_files_name_does_not_count(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"weights")
    assert fingerprint(tmp_path / "a.pth") == fingerprint(tmp_path / "b.pth")


def test_an_empty_folder_has_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found none"):
        fingerprint(tmp_path)
