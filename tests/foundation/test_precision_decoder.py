"""Decoding in half precision: an image that overflows float16 comes out as in float32."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foundation.interfaces import GeneratedImage, Prompt
from foundation.precision import asks_for_float32, compute_in, decode_in
from foundation.stack import ModelStack
from foundation.text_to_image import DiffusersTextToImage
from foundation.text_to_image_loading import load_pipeline
from schemas.errors import ModelError
from schemas.settings import load_settings
from tests.foundation.conftest import make_pipeline, make_xl_pipeline

HOUSE = Prompt("a photo of a house", 13, 18)
HALF_ENDS = 65504
MAKERS = pytest.mark.parametrize("make", [make_pipeline, make_xl_pipeline])


def overflowing(make: Any, *, asks: bool) -> Any:
    """A pipeline whose decoder's activations exceed float16 before the last normalisation, which
    makes an ordinary image of them.
    """
    pipeline = make()
    pipeline.vae.register_to_config(force_upcast=asks)
    with torch.no_grad():
        pipeline.vae.decoder.up_blocks[-1].resnets[-1].conv2.weight.mul_(2e5)
    return pipeline


def made_by(pipeline: Any) -> GeneratedImage:
    return DiffusersTextToImage(pipeline, 2, 7.5, 16, 16).generate([HOUSE], [1])[0]


def nearly(one: GeneratedImage, other: GeneratedImage) -> bool:
    return bool(np.abs(one.image.astype(int) - other.image).max() <= 2)


@MAKERS
def test_the_planted_decoder_does_overflow(make: Any) -> None:
    pipeline = overflowing(make, asks=False)
    largest: list[float] = []
    last = pipeline.vae.decoder.conv_norm_out
    last.register_forward_pre_hook(lambda _, args: largest.append(args[0].abs().max().item()))
    made_by(pipeline)
    assert max(largest) > HALF_ENDS
    compute_in(pipeline.vae.decoder, torch.float16)
    with pytest.raises(ModelError, match="pixels that are not numbers"):
        made_by(pipeline)


@MAKERS
def test_an_autoencoder_that_asks_for_it_decodes_in_float32(make: Any) -> None:
    expected = made_by(overflowing(make, asks=True))
    pipeline = overflowing(make, asks=True)
    decode_in(pipeline.vae, torch.float16)
    np.testing.assert_array_equal(made_by(pipeline).image, expected.image)


@MAKERS
def test_one_that_overflows_unasked_is_decoded_again(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    expected = made_by(overflowing(make, asks=False))
    pipeline = overflowing(make, asks=False)
    decode_in(pipeline.vae, torch.float16)
    with caplog.at_level(logging.WARNING, "foundation"):
        made = [made_by(pipeline), made_by(pipeline)]
    assert caplog.messages == [
        "the decoder overflows in float16; such batches are decoded in float32"
    ]
    for one in made:
        np.testing.assert_array_equal(one.image, expected.image)


def test_one_that_does_not_overflow_computes_in_half(caplog: pytest.LogCaptureFixture) -> None:
    expected = made_by(make_pipeline())
    pipeline = make_pipeline()
    pipeline.vae.register_to_config(force_upcast=False)
    decode_in(pipeline.vae, torch.float16)
    kinds: set[torch.dtype] = set()
    convolution = pipeline.vae.decoder.conv_in
    convolution.register_forward_hook(lambda _, args, output: kinds.add(output.dtype))
    made = made_by(pipeline)
    assert kinds == {torch.float16}
    assert nearly(made, expected)
    assert not caplog.messages


def test_latents_that_are_no_numbers_are_an_error_and_not_the_decoders(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = make_pipeline()
    pipeline.vae.register_to_config(force_upcast=False)
    decode_in(pipeline.vae, torch.float16)
    with torch.no_grad():
        pipeline.unet.conv_out.bias.fill_(torch.nan)
    with pytest.raises(ModelError, match="pixels that are not numbers"):
        made_by(pipeline)
    assert not caplog.messages


def test_bfloat16_does_not_overflow() -> None:
    expected = made_by(overflowing(make_pipeline, asks=True))
    pipeline = overflowing(make_pipeline, asks=True)
    decode_in(pipeline.vae, torch.bfloat16)
    assert {one.dtype for one in pipeline.vae.decoder.parameters()} == {torch.bfloat16}
    assert np.abs(made_by(pipeline).image.astype(int) - expected.image).mean() < 4


def test_what_is_not_stated_is_not_asked_for(tmp_path: Path) -> None:
    make_pipeline().save_pretrained(tmp_path)
    config = tmp_path / "vae" / "config.json"
    stated = json.loads(config.read_text(encoding="utf-8"))

    def asks(value: bool | None) -> bool:
        changed = {key: one for key, one in stated.items() if key != "force_upcast"}
        changed |= {} if value is None else {"force_upcast": value}
        config.write_text(json.dumps(changed), encoding="utf-8")
        return asks_for_float32(load_pipeline(tmp_path, torch.device("cpu")).vae)

    assert [asks(value) for value in (None, False, True)] == [False, False, True]


def test_a_stack_in_float16_makes_the_images_of_one_in_float32(
    stack_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflowing(make_pipeline, asks=True).save_pretrained(tmp_path / "generator")
    settings = load_settings(str(stack_folder / "tiny.toml"))
    place = settings.models.text_to_image.model_copy(
        update={"location": str(tmp_path / "generator")}
    )
    models = settings.models.model_copy(update={"text_to_image": place})
    settings = settings.model_copy(update={"models": models})
    made = []
    for dtype in (torch.float32, torch.float16):
        monkeypatch.setattr(
            "foundation.text_to_image_loading.fast_type", lambda device, dtype=dtype: dtype
        )
        made += ModelStack(settings, device="cpu").text_to_image.generate([HOUSE], [1])
    assert np.abs(made[0].image.astype(int) - made[1].image).mean() < 2  # the UNet is in float16
