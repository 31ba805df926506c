"""CLIP against transformers' own image processor, tokenizer and model.

The folder is as openai/clip-vit-large-patch14 was published: end of text is 2 in its configuration
and 49407 in its vocabulary, the preprocessor states its sizes as single numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from benchmarks.full_size.architectures import clip_large
from benchmarks.full_size.published import write_clip
from foundation.text_image import ClipScorer
from tests.foundation.against.loading import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    write_clip(clip_large(reduced=True), path)
    assert not (path / "tokenizer.json").exists()
    return path


@pytest.fixture(scope="module")
def scorer(folder: Path) -> ClipScorer:
    scorer: ClipScorer = load("text_image", folder)
    return scorer


@pytest.fixture(scope="module")
def model(folder: Path) -> CLIPModel:
    return CLIPModel.from_pretrained(folder)


def unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


def test_texts_are_the_librarys(scorer: ClipScorer, model: CLIPModel, folder: Path) -> None:
    texts = [
        "a photo of a house",
        "fish",
        "",
        "a traffic light, crème brûlée & 東京",
        "a cup " * 60,
    ]
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokens = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    assert tokens["input_ids"].shape == (5, 77)
    # The end of text is where the vocabulary has it, also in the text that is cut off.
    assert (tokens["input_ids"] == 49407).any(dim=1).all()
    with torch.no_grad():
        expected = unit(model.get_text_features(**tokens).pooler_output)
    np.testing.assert_allclose(scorer.embed_texts(texts), expected, atol=1e-5)
    assert np.abs(expected @ expected.T - np.eye(5)).max() < 0.999


@pytest.mark.parametrize("kind", [CLIPImageProcessor, CLIPImageProcessorPil])
@pytest.mark.parametrize(
    "photo",
    [astronaut()[:400, :400], astronaut()[:240], astronaut()[:, 100:341]],
    ids=["square", "wide", "upright"],
)
def test_images_are_nearly_the_librarys(
    scorer: ClipScorer, model: CLIPModel, folder: Path, photo: np.ndarray, kind: Any
) -> None:
    """The library rounds to whole pixel values, and cuts the square out after resizing, up to one
    pixel of 224 beside ours. Measured in distances to the photo upside down: up to 0.12.
    """
    processor = kind.from_pretrained(folder)
    both = [photo, photo[::-1]]
    pixels = processor([one.copy() for one in both], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected, turned = unit(model.get_image_features(pixel_values=pixels).pooler_output)
    (found,) = scorer.embed_images([photo])
    assert np.linalg.norm(found - expected) < 0.2 * np.linalg.norm(turned - expected)


def test_an_image_of_clips_own_size_is_the_librarys(
    scorer: ClipScorer, model: CLIPModel, folder: Path
) -> None:
    image = np.ascontiguousarray(astronaut()[:224, 100:324])
    pixels = CLIPImageProcessor.from_pretrained(folder)(image, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = unit(model.get_image_features(pixel_values=pixels).pooler_output)
    np.testing.assert_allclose(scorer.embed_images([image]), expected, atol=1e-5)
