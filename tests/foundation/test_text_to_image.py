"""Images by prompt and seed, and the place of a category's name among the tokens."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPTokenizer

from foundation.interfaces import Prompt
from foundation.text_to_image import DiffusersTextToImage, category_token_indices
from schemas.errors import ModelError, SettingsError, UsageError

HOUSE = Prompt("a photo of a house", 13, 18)
FISH = Prompt("a photo of a fish", 13, 17)


@pytest.fixture
def model(pipeline: StableDiffusionPipeline) -> DiffusersTextToImage:
    return DiffusersTextToImage(pipeline, steps=2, guidance_scale=7.5, height=16, width=24)


def test_an_image_and_its_attention(model: DiffusersTextToImage) -> None:
    (image,) = model.generate([HOUSE], [1])
    assert image.image.shape == (16, 24, 3)
    assert image.image.dtype == np.uint8
    assert image.attention.shape == (8, 12)
    assert 0 < image.attention.min() < image.attention.max() < 1
    assert image.flagged is False


def test_the_same_call_gives_the_same_bytes(model: DiffusersTextToImage) -> None:
    first = model.generate([HOUSE, FISH], [1, 2])
    again = model.generate([HOUSE, FISH], [1, 2])
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.attention, b.attention)


def test_an_images_randomness_is_its_own_seed(model: DiffusersTextToImage) -> None:
    together = model.generate([HOUSE, FISH, HOUSE], [1, 2, 3])
    alone = model.generate([FISH], [2])[0]
    difference = np.abs(together[1].image.astype(int) - alone.image.astype(int))
    assert difference.max() <= 1  # equal up to the rounding of another batch size
    assert np.abs(together[0].image.astype(int) - together[2].image.astype(int)).max() > 10


def test_torch_s_own_random_state_is_left_alone(model: DiffusersTextToImage) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model.generate([HOUSE], [1])
    assert torch.equal(torch.get_rng_state(), before)


def test_no_progress_bar(model: DiffusersTextToImage, capsys: pytest.CaptureFixture[str]) -> None:
    model.generate([HOUSE], [1])
    assert capsys.readouterr() == ("", "")


def test_nothing_asked_nothing_made(model: DiffusersTextToImage) -> None:
    assert model.generate([], []) == []
    with pytest.raises(UsageError, match="found 2 for 1"):
        model.generate([HOUSE], [1, 2])


def test_the_safety_checkers_flag_is_kept(pipeline: StableDiffusionPipeline) -> None:
    class Prude(torch.nn.Module):
        device, dtype = torch.device("cpu"), torch.float32

        def forward(
            self, images: torch.Tensor, clip_input: torch.Tensor
        ) -> tuple[torch.Tensor, list[bool]]:
            images[1] = 0
            return images, [False, True]

    def features(images: list, return_tensors: str) -> SimpleNamespace:
        values = SimpleNamespace(pixel_values=torch.zeros(len(images), 3, 8, 8))
        values.to = lambda device: values
        return values

    checked = StableDiffusionPipeline(
        **{**pipeline.components, "safety_checker": Prude(), "feature_extractor": features},
    )
    model = DiffusersTextToImage(checked, steps=1, guidance_scale=7.5, height=16, width=16)
    clean, flagged = model.generate([HOUSE, FISH], [1, 2])
    assert (clean.flagged, flagged.flagged) == (False, True)
    assert clean.image.any()
    assert not flagged.image.any()
    assert flagged.attention.max() > 0


def test_pixels_that_are_no_numbers_are_an_error(
    pipeline: StableDiffusionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = DiffusersTextToImage(pipeline, steps=1, guidance_scale=1, height=16, width=16)
    bias = pipeline.vae.decoder.conv_out.bias
    monkeypatch.setattr(bias, "data", torch.full_like(bias, torch.nan))
    with pytest.raises(ModelError, match="not numbers"):
        model.generate([HOUSE], [1])


@pytest.mark.parametrize(("height", "width", "name"), [(20, 16, "height"), (16, 0, "width")])
def test_a_size_the_pipeline_cannot_make_is_refused(
    pipeline: StableDiffusionPipeline, height: int, width: int, name: str
) -> None:
    with pytest.raises(SettingsError, match=rf"generation\.{name}: expected a multiple of 8"):
        DiffusersTextToImage(pipeline, 1, 1.0, height, width)


@pytest.mark.parametrize("steps", [0, 1001])
def test_steps_the_pipeline_was_not_trained_with_are_refused(
    pipeline: StableDiffusionPipeline, steps: int
) -> None:
    with pytest.raises(SettingsError, match=rf"generation\.steps: expected 1 to 1000.*{steps}"):
        DiffusersTextToImage(pipeline, steps, 1.0, 16, 16)


def test_a_name_beyond_the_encoders_length_is_refused(tokenizer: CLIPTokenizer) -> None:
    # 16 tokens: start, up to 14 of the prompt, end.
    fits = Prompt("a b c d e f g h i j k l m house", 26, 31)
    assert category_token_indices(tokenizer, fits) == [14]
    too_long = Prompt("a b c d e f g h i j k l m n house", 28, 33)
    with pytest.raises(UsageError, match="'house'"):
        category_token_indices(tokenizer, too_long)
    cut = Prompt("a b c d e f g h i j k l m fishbowl", 26, 34)
    with pytest.raises(UsageError, match="'fishbowl'"):
        category_token_indices(tokenizer, cut)


def test_capitals_spaces_and_accents_do_not_shift_the_name(tokenizer: CLIPTokenizer) -> None:
    assert category_token_indices(tokenizer, Prompt("A  photo   of a  House", 17, 22)) == [5]
    # Outside the alphabet of this tokenizer, yet every piece has its place.
    text = "crème photo of a house"
    start = text.index("house")
    indices = category_token_indices(tokenizer, Prompt(text, start, start + 5))
    assert tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)[indices[0]] == "house</w>"


def test_a_name_without_tokens_is_refused(tokenizer: CLIPTokenizer) -> None:
    with pytest.raises(UsageError, match="keeps nothing"):
        category_token_indices(tokenizer, Prompt("a photo of   ", 11, 12))
    with pytest.raises(ModelError, match="knows character offsets"):
        category_token_indices(SimpleNamespace(is_fast=False), HOUSE)
