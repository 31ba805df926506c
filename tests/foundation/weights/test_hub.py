"""Models of a hub: which files are taken, what an interruption costs, and that damage is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants, scan_cache_dir, snapshot_download

from foundation.weights.download import Transfer
from foundation.weights.hub import cached_snapshot, fetch_snapshot, list_files
from foundation.weights.model_files import fingerprint
from schemas.errors import ModelError
from tests.stand_in_hub import StandInHub

MODEL = "owner/model"


@pytest.fixture
def source(hub: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the hub serves as owner/model."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    folder = tmp_path / "source"
    (folder / "unet").mkdir(parents=True)
    (folder / "a.json").write_text('{"a": 1}', encoding="utf-8")
    (folder / "unet" / "weights.safetensors").write_bytes(np.random.default_rng(0).bytes(600_000))
    (folder / "z.safetensors").write_bytes(np.random.default_rng(1).bytes(50_000))
    hub.models[MODEL] = folder
    return folder


def test_only_what_a_model_needs_is_taken(hub: StandInHub, source: Path) -> None:
    before = fingerprint(source)
    for name in (
        "README.md",
        ".gitattributes",
        "v1-5-pruned-emaonly.safetensors",
        "sd_turbo.safetensors",
        "unet/weights.fp16.safetensors",
        "unet/weights.bin",
    ):
        (source / name).write_bytes(b"else")
    told: list[Transfer] = []
    folder = fetch_snapshot(MODEL, None, watch=told.append)
    assert fingerprint(folder) == before
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert names == ["a.json", "unet/weights.safetensors", "z.safetensors"]
    assert folder.name == hub.commit(MODEL)
    total = sum((folder / name).stat().st_size for name in names)
    assert {transfer.total for transfer in told} == {total}
    assert told[-1].done == total
    assert [transfer.done for transfer in told] == sorted(transfer.done for transfer in told)


def test_the_cache_is_one_that_huggingface_hub_reads(hub: StandInHub, source: Path) -> None:
    folder = fetch_snapshot(MODEL, None)
    (repository,) = scan_cache_dir(constants.HF_HUB_CACHE).repos
    assert repository.repo_id == MODEL
    (revision,) = repository.revisions
    assert revision.refs == {"main"}
    assert len(revision.files) == 3
    hub.requests.clear()
    assert cached_snapshot(MODEL, None) == folder
    assert cached_snapshot(MODEL, folder.name) == folder
    assert hub.requests == []


def test_an_interrupted_model_is_continued(hub: StandInHub, source: Path) -> None:
    hub.cuts["weights.safetensors"] = [400_000]
    hub.dies = True
    with pytest.raises(Exception, match="500"):
        fetch_snapshot(MODEL, None)
    with pytest.raises(Exception, match="Cannot find an appropriate cached snapshot"):
        cached_snapshot(MODEL, None)
    hub.broken, hub.requests = False, []
    told: list[Transfer] = []
    folder = fetch_snapshot(MODEL, None, watch=told.append)
    assert hub.transfers("a.json") == []
    (start,) = hub.transfers("weights.safetensors")
    assert start is not None
    assert 300_000 < start <= 400_000
    assert told[0].kept == start + 8
    assert fingerprint(folder) == fingerprint(source)


@pytest.mark.parametrize("name", ["a.json", "unet/weights.safetensors"])
def test_what_arrives_corrupted_is_not_kept(hub: StandInHub, source: Path, name: str) -> None:
    hub.corrupt.add(name)
    with pytest.raises(ModelError, match="the corrupted file was deleted"):
        fetch_snapshot(MODEL, None)
    with pytest.raises(Exception, match="Cannot find an appropriate cached snapshot"):
        cached_snapshot(MODEL, None)
    hub.corrupt.clear()
    assert fingerprint(fetch_snapshot(MODEL, None)) == fingerprint(source)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[10 % len(data)] ^= 1
    path.write_bytes(data)


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [_flip, _shorten])
@pytest.mark.parametrize("name", ["a.json", "unet/weights.safetensors"])
def test_damage_on_this_machine_is_mended_by_a_check(
    hub: StandInHub, source: Path, name: str, harm: Callable[[Path], None]
) -> None:
    folder = fetch_snapshot(MODEL, None)
    harm(folder / name)
    assert fingerprint(folder) != fingerprint(source)
    hub.requests.clear()
    assert fetch_snapshot(MODEL, None, check=True) == folder
    assert fingerprint(folder) == fingerprint(source)
    fetched = [one.path for one in hub.requests if one.method == "GET" and "/resolve/" in one.path]
    assert len(fetched) == 1
    assert fetched[0].endswith(name)


@pytest.mark.parametrize("harm", [_flip, _shorten])
@pytest.mark.parametrize("name", ["a.json", "unet/weights.safetensors"])
def test_damage_in_what_rim_did_not_download_is_named_and_left(
    hub: StandInHub, source: Path, name: str, harm: Callable[[Path], None]
) -> None:
    folder = Path(snapshot_download(MODEL))  # by another program
    harm(folder / name)
    damaged = (folder / name).read_bytes()
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            fetch_snapshot(MODEL, None, check=True)
        assert f"{(folder / name).resolve()} ({Path(name).name}): expected " in str(caught.value)
        assert "rim did not download this file and leaves it" in str(caught.value)
        assert (folder / name).read_bytes() == damaged
    (folder / name).resolve().rename(source.parent / "away")
    assert fetch_snapshot(MODEL, None, check=True) == folder
    assert fingerprint(folder) == fingerprint(source)


def test_a_branch_that_moves(hub: StandInHub, source: Path) -> None:
    old = fetch_snapshot(MODEL, None)
    (source / "a.json").write_text('{"a": 2}', encoding="utf-8")
    hub.requests.clear()
    new = fetch_snapshot(MODEL, None)
    assert new != old
    assert hub.transfers("weights.safetensors") == []  # the same content under both commits
    assert cached_snapshot(MODEL, None) == new
    assert cached_snapshot(MODEL, old.name) == old


def test_a_repository_without_usable_weights(hub: StandInHub, source: Path) -> None:
    for path in (*source.glob("*.safetensors"), *source.glob("*/*.safetensors")):
        path.rename(path.with_suffix(".bin"))
    with pytest.raises(ModelError, match=r"^owner/model: expected weights as \*\.safetensors"):
        list_files(MODEL, None)


def test_a_folder_without_weights_is_no_model(hub: StandInHub, source: Path) -> None:
    folder = fetch_snapshot(MODEL, None)
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    with pytest.raises(Exception, match=r"incomplete|no weights"):
        cached_snapshot(MODEL, None)
