"""A checkpoint on the web: which file counts as the right one, and whose file is never touched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from foundation.stack import ModelStack
from foundation.weights.checkpoint import checkpoints_folder
from foundation.weights.model_files import fetch, resolve
from schemas.errors import ModelError
from schemas.settings import ModelSource, SegmenterSource, apply_overrides, load_settings
from tests.stand_in_hub import StandInHub

WEIGHTS = b"the weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
MD5 = hashlib.md5(WEIGHTS, usedforsecurity=False).hexdigest()
OTHER = b"not weights"  # as long


def serve(hub: StandInHub, name: str, folder: Path, content: bytes = WEIGHTS) -> str:
    """The address of a file of that name on the stand-in."""
    file = folder / f"served-{name}"
    file.write_bytes(content)
    hub.files[f"/a/{name}"] = file
    return f"{hub.address}/a/{name}"


@pytest.mark.parametrize(
    "name", [f"sam_vit_h_{MD5[:6]}.pth", f"sam_{SHA256[:8]}.pth", f"m-{SHA256}.pth", "plain.pth"]
)
def test_a_checkpoint_is_downloaded_once(hub: StandInHub, tmp_path: Path, name: str) -> None:
    source = ModelSource(location=serve(hub, name, tmp_path))
    with pytest.raises(ModelError, match="found none"):
        resolve(source, "segmenter", offline=True)
    file = checkpoints_folder() / name
    assert resolve(source, "segmenter", offline=False) == file
    assert fetch(source, "segmenter", check=True) == file
    assert resolve(source, "segmenter", offline=True) == file
    assert file.read_bytes() == WEIGHTS
    assert hub.transfers(name) == [None]


def test_digits_of_neither_digest_are_an_error(hub: StandInHub, tmp_path: Path) -> None:
    source = ModelSource(location=serve(hub, "sam_vit_h_4b8939.pth", tmp_path))
    with pytest.raises(ModelError) as caught:
        fetch(source, "segmenter")
    text = str(caught.value)
    assert text.startswith("models.segmenter: sam_vit_h_4b8939.pth: expected content with the MD5")
    assert f"found {MD5} and {SHA256}" in text
    assert "if the digits in the name are no digest, set the file's sha256" in text
    assert not (checkpoints_folder() / "sam_vit_h_4b8939.pth").exists()


def test_the_settings_digest_stands_above_the_name(hub: StandInHub, tmp_path: Path) -> None:
    address = serve(hub, "weights_20231231.pth", tmp_path)  # a date
    source = ModelSource(location=address, sha256=SHA256, size=len(WEIGHTS))
    assert fetch(source, "segmenter").read_bytes() == WEIGHTS
    wrong = ModelSource(location=serve(hub, f"x_{MD5[:6]}.pth", tmp_path), sha256="0" * 64)
    with pytest.raises(ModelError, match=f"SHA-256 0{{64}}, found {SHA256}; the corrupted"):
        fetch(wrong, "segmenter")


def test_another_file_on_the_server_is_told_by_its_size(hub: StandInHub, tmp_path: Path) -> None:
    address = serve(hub, "sam.pth", tmp_path)
    with pytest.raises(ModelError, match=r"expected a file of 12 bytes, found .* one of 11"):
        fetch(ModelSource(location=address, size=12), "segmenter")
    assert hub.transfers("sam.pth") == []


@pytest.mark.parametrize("content", [OTHER, b"short", b""])
def test_a_file_that_rim_did_not_download_is_never_touched(
    hub: StandInHub, tmp_path: Path, content: bytes
) -> None:
    source = ModelSource(location=serve(hub, "sam.pth", tmp_path), sha256=SHA256, size=len(WEIGHTS))
    file = checkpoints_folder() / "sam.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        fetch(source, "segmenter", check=True)
    assert str(caught.value) == (
        f"models.segmenter: {file}: expected 11 bytes with the SHA-256 {SHA256}, found other "
        f"content ({len(content)} bytes); rim did not download this file and leaves it: move it "
        "away, then run the same command again"
    )
    assert file.read_bytes() == content
    if len(content) != len(WEIGHTS):  # without a check the size tells
        for offline in (True, False):
            with pytest.raises(ModelError, match="rim did not download this file"):
                resolve(source, "segmenter", offline=offline)
    assert hub.transfers("sam.pth") == []
    file.rename(tmp_path / "away")
    assert fetch(source, "segmenter", check=True).read_bytes() == WEIGHTS


def test_a_good_copy_of_another_program_is_used(hub: StandInHub, tmp_path: Path) -> None:
    file = checkpoints_folder() / f"sam_vit_h_{MD5[:6]}.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(WEIGHTS)
    address = serve(hub, file.name, tmp_path)
    for source in (ModelSource(location=address), ModelSource(location=address, sha256=SHA256)):
        assert fetch(source, "segmenter", check=True) == file
    assert hub.requests == []


@pytest.mark.parametrize("content", [OTHER, b"short"])
def test_what_rim_downloaded_is_replaced(hub: StandInHub, tmp_path: Path, content: bytes) -> None:
    source = ModelSource(location=serve(hub, "sam.pth", tmp_path), sha256=SHA256, size=len(WEIGHTS))
    file = fetch(source, "segmenter")
    file.write_bytes(content)
    assert fetch(source, "segmenter", check=True).read_bytes() == WEIGHTS


def test_a_file_in_the_place_of_a_download_is_not_rims(hub: StandInHub, tmp_path: Path) -> None:
    source = ModelSource(location=serve(hub, "sam.pth", tmp_path), sha256=SHA256)
    file = fetch(source, "segmenter")
    (tmp_path / "mine").write_bytes(OTHER)
    (tmp_path / "mine").rename(file)  # as a program does that writes beside and renames
    with pytest.raises(ModelError, match="rim did not download this file"):
        fetch(source, "segmenter", check=True)
    assert file.read_bytes() == OTHER


def test_no_command_uses_another_file_than_the_settings_name(
    hub: StandInHub, tmp_path: Path
) -> None:
    address = serve(hub, "sam.pth", tmp_path)
    file = checkpoints_folder() / "sam.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(OTHER)
    settings = apply_overrides(
        load_settings("miniature"),
        [f"models.segmenter.location={address}", f"models.segmenter.sha256={SHA256}"],
    )
    with pytest.raises(ModelError, match=f"expected a file with the SHA-256 {SHA256}, found other"):
        ModelStack(settings, "cpu").fingerprints(["segmenter"])
    file.write_bytes(WEIGHTS)
    assert ModelStack(settings, "cpu").fingerprints(["segmenter"])


def test_the_official_checkpoints_are_named_in_full() -> None:
    found: dict[str, SegmenterSource] = {}
    for name in ("paper", "fast"):
        source = load_settings(name).models.segmenter
        found[str(source.architecture)] = source
    assert found["vit_h"].sha256 is not None
    assert found["vit_h"].sha256.startswith("a7bf3b02f3eb")
    assert found["vit_h"].size == 2_564_550_879
    assert found["vit_b"].sha256 is not None
    assert found["vit_b"].sha256.startswith("ec2df6273261")
    assert found["vit_b"].size == 375_042_383
