"""Which files make up a model, in a repository, in the hub's cache and in a folder alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from foundation.weights.hub import cached_snapshot, fetch_snapshot, list_files
from foundation.weights.layout import INDEX, Layout, layout_of
from foundation.weights.model_files import fingerprint, model_files
from schemas.errors import ModelError
from schemas.resources import data_folder
from tests.repositories import (
    PIPELINE,
    PIPELINE_USED,
    TRANSFORMER_USED,
    write_pipeline,
    write_transformer,
)
from tests.stand_in_hub import StandInHub

KINDS = [(write_pipeline, PIPELINE_USED), (write_transformer, TRANSFORMER_USED)]


def names_in(folder: Path) -> list[str]:
    return sorted(
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()
    )


@pytest.mark.parametrize(("write", "used"), KINDS)
def test_only_what_is_loaded_is_downloaded(
    hub: StandInHub, tmp_path: Path, write: Callable[[Path], None], used: tuple[str, ...]
) -> None:
    source = tmp_path / "source"
    write(source)
    hub.models["owner/model"] = source
    wanted = sum((source / name).stat().st_size for name in used)
    assert [file.name for file in list_files("owner/model", None).files] == sorted(used)
    folder = fetch_snapshot("owner/model", None)
    assert names_in(folder) == sorted(used)
    assert sum(hub.sent.values()) == wanted
    assert wanted < sum(file.stat().st_size for file in source.rglob("*") if file.is_file()) / 3
    # The rule is the same for what lies here: also a folder with everything has that fingerprint.
    assert [file.relative_to(source).as_posix() for file in model_files(source)] == sorted(used)
    assert fingerprint(source) == fingerprint(folder)
    hub.requests.clear()
    assert cached_snapshot("owner/model", None) == folder
    assert hub.requests == []


@pytest.mark.parametrize(("write", "used"), KINDS)
def test_a_cache_that_lacks_a_file_is_not_complete(
    hub: StandInHub, tmp_path: Path, write: Callable[[Path], None], used: tuple[str, ...]
) -> None:
    write(tmp_path / "source")
    hub.models["owner/model"] = tmp_path / "source"
    folder = fetch_snapshot("owner/model", None)
    for name in used:
        (folder / name).rename(tmp_path / "away")
        with pytest.raises(Exception, match=r"incomplete|no weights"):
            cached_snapshot("owner/model", None)
        (tmp_path / "away").rename(folder / name)
    assert cached_snapshot("owner/model", None) == folder


def test_a_whole_copy_of_another_program_serves(hub: StandInHub, tmp_path: Path) -> None:
    write_pipeline(tmp_path / "source")
    hub.models["owner/model"] = tmp_path / "source"
    whole = Path(snapshot_download("owner/model"))
    hub.sent.clear()
    assert cached_snapshot("owner/model", None) == whole
    assert fetch_snapshot("owner/model", None, check=True) == whole
    assert not hub.sent
    assert fingerprint(whole) == fingerprint(tmp_path / "source")


@pytest.mark.parametrize("left", ["diffusion_pytorch_model.fp16.safetensors", "model.bin"])
def test_a_part_without_weights_is_told_before_the_download(
    hub: StandInHub, tmp_path: Path, left: str
) -> None:
    source = tmp_path / "source"
    write_pipeline(source)
    (source / "unet" / "diffusion_pytorch_model.safetensors").rename(source / "unet" / left)
    hub.models["owner/model"] = source
    message = r"^owner/model: expected weights as \*\.safetensors in unet, found none in full"
    with pytest.raises(ModelError, match=message):
        fetch_snapshot("owner/model", None)
    assert [path.rpartition("/")[2] for path in hub.sent] == [INDEX]


def test_shards_are_weights() -> None:
    weights = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = "diffusion_pytorch_model.safetensors.index.json"
    names = [INDEX, "unet/config.json", *(f"unet/{name}" for name in (*weights, index))]
    names += [f"unet/{name.replace('-of', '.fp16-of')}" for name in weights]
    content = json.dumps({"unet": PIPELINE["unet"]}).encode()
    layout = layout_of(names, lambda _: content)
    assert [name for name in names if layout.uses(name)] == names[:5]
    assert layout.without_weights(names) == ()
    assert layout.without_weights(names[:2]) == ("unet",)


@pytest.mark.parametrize("index", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_an_index_that_is_none(hub: StandInHub, tmp_path: Path, index: bytes) -> None:
    source = tmp_path / "source"
    write_pipeline(source)
    (source / INDEX).write_bytes(index)
    with pytest.raises(ModelError, match=r"model_index\.json: expected a JSON object"):
        layout_of([INDEX], lambda _: index)
    hub.models["owner/model"] = source
    with pytest.raises(ModelError, match=r"model_index\.json: expected a JSON object"):
        fetch_snapshot("owner/model", None)
    assert len(hub.sent) <= 1
    assert (source / INDEX) in model_files(source)


def test_other_folders_count_whole() -> None:
    layout = layout_of(["a.json", "config.json", "unet/weights.safetensors"], lambda _: b"")
    assert layout == Layout()
    assert layout.uses("unet/weights.safetensors")
    assert layout.without_weights(["a.json"]) == ("",)


def test_fingerprints_that_banks_recorded_stay() -> None:
    manifest = data_folder() / "golden" / "v1" / "manifests" / "000001.json"
    recorded = json.loads(manifest.read_text(encoding="utf-8"))["models"]
    assert set(recorded) == {"text_to_image", "segmenter", "features", "text_image"}
    for model in recorded.values():
        assert fingerprint(data_folder() / model["name"]) == model["fingerprint"]
