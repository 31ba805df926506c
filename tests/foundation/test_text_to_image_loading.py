"""Which text-to-image pipelines are loaded, and that each gives pictures with attention."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from transformers import CLIPTokenizer

from foundation.interfaces import Prompt
from foundation.precision import compute_in
from foundation.text_to_image import DiffusersTextToImage
from foundation.text_to_image_loading import SUPPORTED, load_pipeline, pipeline_class
from schemas.errors import ModelError
from tests.foundation.conftest import (
    make_consistency_pipeline,
    make_pipeline,
    make_tokenizer,
    make_xl_pipeline,
)
from tests.foundation.test_cross_attention import maps_in_full, positions, watched

CPU = torch.device("cpu")
HOUSE = Prompt("a photo of a house", 13, 18)
FISHBOWL = Prompt("a photo of a fishbowl", 13, 21)
MAKERS = {
    "StableDiffusionPipeline": make_pipeline,
    "StableDiffusionXLPipeline": make_xl_pipeline,
    "LatentConsistencyModelPipeline": make_consistency_pipeline,
}


@pytest.fixture(scope="module", params=SUPPORTED)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("pipelines") / request.param
    MAKERS[request.param]().save_pretrained(path)
    return path


def test_every_supported_pipeline_is_loaded_and_draws(folder: Path) -> None:
    assert pipeline_class(folder) == folder.name
    pipeline = load_pipeline(folder, CPU)
    assert type(pipeline).__name__ == folder.name
    # A consistency model doubles no batch, whatever its guidance.
    guided = folder.name != "LatentConsistencyModelPipeline"
    model = DiffusersTextToImage(pipeline, 2, 7.5, 16, 24)
    with watched(pipeline.unet) as record:
        images = model.generate([HOUSE, FISHBOWL], [0, 1])
    tokens = [positions(make_tokenizer(), prompt) for prompt in (HOUSE, FISHBOWL)]
    expected = maps_in_full(record, tokens, (8, 12), guidance=guided)
    for image, map_ in zip(images, expected, strict=True):
        assert image.image.shape == (16, 24, 3)
        assert not image.flagged
        assert np.abs(image.attention - map_).max() <= 1e-4 * map_.max()


def test_every_supported_pipeline_draws_nearly_the_same_in_bfloat16(folder: Path) -> None:
    drawn = []
    for dtype in (torch.float32, torch.bfloat16):
        pipeline = load_pipeline(folder, CPU)
        compute_in(pipeline.unet, dtype)
        compute_in(pipeline.vae.decoder, dtype)
        drawn += DiffusersTextToImage(pipeline, 2, 7.5, 16, 24).generate([HOUSE], [0])
    exact, half = drawn
    assert 0 < np.abs(exact.image.astype(int) - half.image).mean() < 8
    assert np.abs(exact.attention - half.attention).max() < 0.1 * exact.attention.max()


def test_guidance_of_one_and_below_draws_without_a_second_half(folder: Path) -> None:
    pipeline = load_pipeline(folder, CPU)
    model = DiffusersTextToImage(pipeline, 1, 1.0, 16, 16)
    with watched(pipeline.unet) as record:
        (image,) = model.generate([FISHBOWL], [0])
    assert {len(hidden) for _, hidden, _ in record.calls} == {1}
    expected = maps_in_full(record, [positions(make_tokenizer(), FISHBOWL)], (8, 8), False)[0]
    assert np.abs(image.attention - expected).max() <= 1e-4 * expected.max()


def test_two_tokenizers_that_cut_the_name_differently_are_refused() -> None:
    pipeline = make_xl_pipeline()
    pipeline.tokenizer_2 = _without_fish()
    with pytest.raises(ModelError, match="both tokenizers"):
        DiffusersTextToImage(pipeline, 1, 7.5, 16, 16).generate([FISHBOWL], [0])


def test_a_pipeline_without_cross_attention_is_refused_by_name(tmp_path: Path) -> None:
    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(16,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
    )
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"found DDPMPipeline; supported: Stable Diffusion 1\.x"):
        load_pipeline(tmp_path, CPU)


@pytest.mark.parametrize(
    "index",
    [b"not json", b"[]", b"{}", json.dumps({"_class_name": ["evil.py", "Pipeline"]}).encode()],
    ids=["no JSON", "a list", "no class", "code of its own"],
)
def test_a_folder_that_names_no_supported_class_is_refused(tmp_path: Path, index: bytes) -> None:
    (tmp_path / "model_index.json").write_bytes(index)
    with pytest.raises(ModelError, match=r"models\.text_to_image: expected a"):
        load_pipeline(tmp_path, CPU)


def _without_fish() -> Any:
    """A tokenizer that spells every word in letters."""
    return CLIPTokenizer(vocab=make_tokenizer().get_vocab(), merges=[], model_max_length=40)
