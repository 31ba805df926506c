"""CLIP, autoencoder and denoiser: each script trains, resumes and exports what the loaders take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel, CLIPTokenizer

from foundation.cross_attention import CrossAttentionCapture
from miniature.training import train_autoencoder, train_clip, train_unet
from miniature.training.regions import square_around
from miniature.training.single_pool import crop_pool, single_pool
from miniature.training.tokenizer import caption_tokenizer
from miniature.world import CATEGORIES, COLOURS, FIRST_TRAINING_SEED, draw_scene, draw_single

PICTURES = 44


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all three were trained for a few steps, the denoiser in two parts."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("training")
    shared = ["--pool", str(folder / "pool.npz"), "--pictures", str(PICTURES), "--device", "cpu"]
    shared += ["--batch", "4", "--threads", "1"]

    def arguments(name: str, steps: int, *more: str) -> list[str]:
        places = ["--work", str(folder / f"work-{name}"), "--export", str(folder / name)]
        return [*shared, *places, "--steps", str(steps), *more]

    crops = ("--crops", str(folder / "crops.npz"), "--scenes", "4")
    train_clip.main(arguments("clip", 2, *crops))
    train_clip.main(arguments("clip-on", 1, "--start", str(folder / "clip")))
    train_autoencoder.main(arguments("vae", 2))
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
def test_the_pool_repeats_pictures_of_training_seeds(trained: Path) -> None:
    pool = single_pool(trained / "pool.npz", PICTURES)
    assert len(pool.images) == PICTURES
    again = draw_single(FIRST_TRAINING_SEED + 3, CATEGORIES[3])
    assert np.array_equal(pool.images[3], again.image)
    assert pool.captions[3] == again.caption


@pytest.mark.slow
def test_crops_hold_their_thing_whole_and_in_the_middle(trained: Path) -> None:
    pool = crop_pool(trained / "crops.npz", 4)
    scenes = [draw_scene(FIRST_TRAINING_SEED + i) for i in range(4)]
    things = [thing for scene in scenes for thing in scene.instances]
    assert [CATEGORIES[label] for label in pool.labels] == [thing.category for thing in things]
    for thing, mask, caption in zip(things, pool.masks, pool.captions, strict=True):
        left, top, right, bottom = square_around(thing.mask)
        assert right - left == bottom - top
        assert thing.mask[top:bottom, left:right].sum() == thing.mask.sum()
        share = thing.mask.sum() / (right - left) ** 2
        assert mask.mean() == pytest.approx(share, abs=0.04)
        assert thing.category in caption


@pytest.mark.slow
def test_clip_loads(trained: Path) -> None:
    model = CLIPModel.from_pretrained(trained / "clip", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(trained / "clip")
    tokens = tokenizer(["a photo of a house"], return_tensors="pt")
    assert model.get_text_features(**tokens).pooler_output.shape == (1, 96)


def test_captions_fit_the_pictures_they_name() -> None:
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
        picture = pipeline(
            "a photo of a house", num_inference_steps=2, height=64, width=64, output_type="np"
        ).images[0]
    assert picture.shape == (64, 64, 3)
    assert capture.maps().shape == (1, 16, 16)


@pytest.mark.slow
def test_a_resumed_run_counts_on(trained: Path) -> None:
    state = torch.load(trained / "work-pipeline" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
