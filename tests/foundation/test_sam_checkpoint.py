"""Checkpoints of published and of own sizes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from foundation.sam_checkpoint import PUBLISHED, build_sam, load_sam
from schemas.errors import ModelError
from schemas.settings import SamArchitecture, SegmenterSource
from tests.foundation.conftest import TINY_SAM


def source(architecture: object = TINY_SAM) -> SegmenterSource:
    return SegmenterSource(location="sam", architecture=architecture)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_published_architectures_are_those_of_segment_anything(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = build_sam(PUBLISHED[name]), sam_model_registry[name]()
    assert str(ours) == str(theirs)
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    assert shapes == {key: value.shape for key, value in theirs.state_dict().items()}
    windows = [block.window_size for block in ours.image_encoder.blocks]
    assert windows == [block.window_size for block in theirs.image_encoder.blocks]


def test_a_checkpoint_gives_the_same_model(tmp_path: Path, sam: Sam) -> None:
    torch.save(sam.state_dict(), tmp_path / "model.pth")
    image = torch.rand(1, 3, 128, 96) * 255
    for path in (tmp_path, tmp_path / "model.pth"):
        loaded = load_sam(source(), path)
        assert not loaded.training
        assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])
        with torch.no_grad():
            expected = sam.image_encoder(sam.preprocess(image))
            assert torch.equal(loaded.image_encoder(loaded.preprocess(image)), expected)


def test_half_precision_weights_compute_in_float32(tmp_path: Path, sam: Sam) -> None:
    state = {key: value.half() for key, value in sam.state_dict().items()}
    torch.save(state, tmp_path / "model.pth")
    loaded = load_sam(source(), tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_another_architecture_is_refused(tmp_path: Path, sam: Sam) -> None:
    torch.save(sam.state_dict(), tmp_path / "model.pth")
    deeper = SamArchitecture(**{**TINY_SAM.model_dump(), "depth": 3})
    with pytest.raises(ModelError, match="found something else"):
        load_sam(source(deeper), tmp_path)
    with pytest.raises(ModelError, match="checkpoint of vit_b"):
        load_sam(source("vit_b"), tmp_path)


class Attack:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", ["nothing", "text", "cut", "list", "attack"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, sam: Sam, content: str) -> None:
    file, victim = tmp_path / "model.pth", tmp_path / "victim"
    torch.save(sam.state_dict(), file)
    data = {
        "nothing": b"",
        "text": b"version https://git-lfs.github.com/spec/v1\n",
        "cut": file.read_bytes()[:5000],
        "list": pickle.dumps([1, 2], protocol=2),
        "attack": pickle.dumps(Attack(victim), protocol=2),
    }[content]
    file.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.pth"):
        load_sam(source(), tmp_path)
    assert not victim.exists()


def test_the_checkpoint_must_be_clear(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found 0"):
        load_sam(source(), tmp_path)
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match="found 2"):
        load_sam(source(), tmp_path)
