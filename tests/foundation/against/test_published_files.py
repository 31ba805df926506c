"""Files as they were published in 2022: every weight arrives, and the tokenizer knows places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from transformers import AutoTokenizer, CLIPTokenizer

from benchmarks.full_size import architectures
from benchmarks.full_size.published import write_tokenizer
from foundation.images.preprocessing import CLIP, read_normalisation
from foundation.interfaces import Prompt
from foundation.text_to_image import category_token_indices
from foundation.text_to_image_loading import load_pipeline


@pytest.fixture(scope="module")
def folder(pipelines: Callable[[str], Path]) -> Path:
    return pipelines("sd15")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> StableDiffusionPipeline:
    return load_pipeline(folder, torch.device("cpu"))


def keys(file: Path) -> set[str]:
    with safe_open(file, "pt") as tensors:
        return set(tensors.keys())


def test_the_folder_is_of_2022(folder: Path) -> None:
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == [
        "feature_extractor/preprocessor_config.json",
        "model_index.json",
        "safety_checker/config.json",
        "safety_checker/model.safetensors",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    attention = "decoder.mid_block.attentions.0"
    assert {
        f"{attention}.{name}.weight" for name in ("query", "key", "value", "proj_attn")
    } <= keys(folder / "vae" / "diffusion_pytorch_model.safetensors")
    text = keys(folder / "text_encoder" / "model.safetensors")
    assert "text_model.embeddings.position_ids" in text
    assert all(key.startswith("text_model.") for key in text)
    checker = keys(folder / "safety_checker" / "model.safetensors")
    assert "vision_model.vision_model.embeddings.position_ids" in checker
    assert "vision_model.vision_model.pre_layrnorm.weight" in checker
    assert {"concept_embeds", "special_care_embeds_weights", "visual_projection.weight"} <= checker


def test_every_weight_arrives(loaded: StableDiffusionPipeline) -> None:
    made = architectures.sd15(reduced=True, checked=True)
    for part in ("unet", "vae", "text_encoder", "safety_checker"):
        expected = getattr(made, part).state_dict()
        found = getattr(loaded, part).state_dict()
        assert set(found) == set(expected)
        for name, weight in expected.items():
            assert torch.equal(found[name], weight), f"{part}: {name}"
            assert found[name].dtype == torch.float32


def test_the_preprocessor_of_2022_says_what_ours_does(
    folder: Path, loaded: StableDiffusionPipeline
) -> None:
    assert dict(loaded.feature_extractor.size) == {"shortest_edge": 224}
    assert dict(loaded.feature_extractor.crop_size) == {"height": 224, "width": 224}
    assert read_normalisation(folder / "feature_extractor", CLIP) == CLIP


def test_places_are_known_without_a_tokenizer_json(loaded: StableDiffusionPipeline) -> None:
    tokenizer = loaded.tokenizer
    assert tokenizer.model_max_length == 77
    text = "a photo of a fishbowl, crème brûlée"
    ids = tokenizer(text).input_ids
    assert ids == architectures.tokenizer()(text).input_ids
    assert (ids[0], ids[-1], tokenizer.pad_token_id) == (49406, 49407, 49407)
    # CLIP's vocabulary cuts it in three: "fis", "h" and "bowl" at the end of a word.
    assert category_token_indices(tokenizer, Prompt(text, 13, 21)) == [5, 6, 7]
    for place in category_token_indices(tokenizer, Prompt(text, 23, 35)):
        assert 8 < place < len(ids) - 1


@pytest.mark.parametrize("kind", [AutoTokenizer, CLIPTokenizer])
def test_the_padding_of_stable_diffusion_2_is_the_exclamation_mark(
    kind: type, tmp_path: Path
) -> None:
    """Stated in special_tokens_map.json alone; the text encoder was trained with it."""
    write_tokenizer(tmp_path, padding="!")
    tokens = kind.from_pretrained(tmp_path)("a", padding="max_length", max_length=5)
    assert tokens.input_ids == [49406, 320, 49407, 0, 0]
