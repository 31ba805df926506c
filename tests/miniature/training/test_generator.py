"""CLIP, autoencoder and denoiser: each script trains, resumes and exports what the loaders take."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel, CLIPTokenizer

from foundation.cross_attention import CrossAttentionCapture
from miniature.training import train_autoencoder, train_clip, train_unet
from miniature.training.train_clip import caption_tokenizer
from miniature.world import CATEGORIES, COLOURS

IMAGES = 22


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all three were trained for a few steps, the denoiser in two parts."""
    folder = tmp_path_factory.mktemp("training")
    shared = ["--pool", str(folder / "pool.npz"), "--images", str(IMAGES), "--device", "cpu"]
    shared += ["--batch", "2", "--threads", "1", "--no-bf16"]

    def arguments(name: str, steps: int, *more: str) -> list[str]:
        places = ["--work", str(folder / f"work-{name}"), "--export", str(folder / name)]
        return [*shared, *places, "--steps", str(steps), *more]

    crops = ("--crops", str(folder / "crops.npz"), "--scenes", "2")
    with pytest.MonkeyPatch.context() as patch:
        measure = partial(train_clip.accuracy, per_category=1)
        patch.setattr(train_clip, "accuracy", measure)
        patch.setattr(train_autoencoder, "UNSEEN", 4)
        train_clip.main(arguments("clip", 1, *crops))
        train_clip.main(arguments("clip-on", 1, "--start", str(folder / "clip")))
        train_autoencoder.main(arguments("vae", 1))
    models = ("--clip", str(folder / "clip"), "--vae", str(folder / "vae"))
    train_unet.main(arguments("pipeline", 1, *models))
    train_unet.main(arguments("pipeline", 2, *models))
    return folder


def test_every_word_of_a_caption_is_one_token_and_strange_words_are_letters() -> None:
    tokenizer = caption_tokenizer()
    for word in (*CATEGORIES, *COLOURS, "photo"):
        assert len(tokenizer.tokenize(word)) == 1, word
    assert len(tokenizer.tokenize("zeppelin")) > 1


@pytest.mark.slow
def test_the_tokenizer_is_the_same_at_every_call_and_stays_that_of_the_weights(
    trained: Path,
) -> None:
    vocabulary = caption_tokenizer().get_vocab()
    assert caption_tokenizer().get_vocab() == vocabulary
    for folder in ("clip", "clip-on"):
        assert CLIPTokenizer.from_pretrained(trained / folder).get_vocab() == vocabulary


@pytest.mark.slow
def test_clip_loads(trained: Path) -> None:
    model = CLIPModel.from_pretrained(trained / "clip", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(trained / "clip")
    tokens = tokenizer(["a photo of a house"], return_tensors="pt")
    assert model.get_text_features(**tokens).pooler_output.shape == (1, 96)


def test_captions_fit_the_images_they_name() -> None:
    captions = ["a photo of a house", "a photo of a red house", "a photo of grass"]
    labels = np.array([CATEGORIES.index(name) for name in ("house", "house", "grass")])
    weights = train_clip.targets(captions, labels)
    expected = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    assert torch.equal(weights, expected)


@pytest.mark.slow
def test_the_pipeline_draws_and_shows_its_attention(trained: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(
        trained / "pipeline", dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    with CrossAttentionCapture(pipeline.unet, [[5]]) as capture:
        image = pipeline(
            "a photo of a house", num_inference_steps=2, height=64, width=64, output_type="np"
        ).images[0]
    assert image.shape == (64, 64, 3)
    assert capture.maps().shape == (1, 16, 16)


@pytest.mark.slow
def test_a_resumed_run_counts_on(trained: Path) -> None:
    state = torch.load(trained / "work-pipeline" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
