"""Where a model's files are looked for, and what their fingerprint depends on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch

from foundation import model_files as module
from foundation.model_files import fingerprint, model_files, resolve
from schemas.errors import ModelError
from schemas.settings import ModelSource


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


def test_a_hub_model_that_is_not_here_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"weights of nobody/nothing.*without --offline"):
        resolve(ModelSource(location="nobody/nothing"), "features", offline=True)


def test_a_hub_model_is_asked_for_by_id_and_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def snapshot_download(location: str, **options: Any) -> str:
        asked.update(options, location=location)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    source = ModelSource(location="owner/model", revision="abc")
    assert resolve(source, "features", offline=False) == tmp_path
    assert (asked["location"], asked["revision"]) == ("owner/model", "abc")
    assert asked["local_files_only"] is False
    assert "*.safetensors" in asked["allow_patterns"]
    assert "*.bin" not in asked["allow_patterns"]
    assert "*.fp16.*" in asked["ignore_patterns"]


def test_a_failed_download_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(ModelError, match=r"could not be downloaded \(no route to host\)"):
        resolve(ModelSource(location="owner/model"), "features", offline=False)


def test_a_checkpoint_on_the_web_is_kept_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def download(url: str, file: str, hash_prefix: str | None, progress: bool) -> None:
        calls.append((url, hash_prefix, progress))
        Path(file).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    source = ModelSource(location="https://example.org/a/sam_vit_h_4b8939.pth")
    with pytest.raises(ModelError, match="without --offline"):
        resolve(source, "segmenter", offline=True)
    file = tmp_path / "checkpoints" / "sam_vit_h_4b8939.pth"
    assert resolve(source, "segmenter", offline=False) == file
    assert resolve(source, "segmenter", offline=False) == file
    assert resolve(source, "segmenter", offline=True) == file
    assert calls == [(source.location, "4b8939", False)]


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
