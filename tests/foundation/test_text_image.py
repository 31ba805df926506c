"""Texts and images in CLIP's space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from foundation.images.preprocessing import CLIP
from foundation.text_image import ClipScorer
from schemas.errors import ImageError

RANDOM = np.random.default_rng(0)


@pytest.fixture
def scorer(clip: CLIPModel, tokenizer: CLIPTokenizer) -> ClipScorer:
    return ClipScorer(clip, tokenizer, batch_size=2)


def test_embeddings_are_unit_rows_in_order(scorer: ClipScorer) -> None:
    texts = ["a house", "a photo of a fishbowl", "boat"]
    images = [RANDOM.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in [(16, 16), (9, 40)]]
    for embed, items in ((scorer.embed_texts, texts), (scorer.embed_images, images)):
        together = embed(items)
        assert together.dtype == np.float32
        assert together.shape == (len(items), 8)
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
        for item, row in zip(items, together, strict=True):
            np.testing.assert_allclose(embed([item])[0], row, atol=1e-5)


def test_cosines_are_those_of_the_whole_model(
    scorer: ClipScorer, clip: CLIPModel, tokenizer: CLIPTokenizer
) -> None:
    texts = ["a house", "a fish boat"]
    images = RANDOM.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    pixels = torch.tensor(((images / 255 - CLIP.mean) / CLIP.std).transpose(0, 3, 1, 2)).float()
    tokens = tokenizer(texts, padding="max_length", return_tensors="pt")
    with torch.no_grad():
        logits = clip(**tokens, pixel_values=pixels).logits_per_image
    expected = (logits / clip.logit_scale.exp()).detach().numpy()
    cosines = scorer.embed_images(list(images)) @ scorer.embed_texts(texts).T
    np.testing.assert_allclose(cosines, expected, atol=1e-5)


def test_of_an_image_the_centre_square_counts(scorer: ClipScorer) -> None:
    wide = RANDOM.integers(0, 256, (20, 60, 3), dtype=np.uint8)
    centre = wide[:, 20:40]
    np.testing.assert_array_equal(scorer.embed_images([wide]), scorer.embed_images([centre]))


def test_a_long_text_is_cut_where_the_encoder_ends(scorer: ClipScorer) -> None:
    long = "a b c d e f g h i j k l m n"
    np.testing.assert_allclose(
        scorer.embed_texts([long + " o p q"]), scorer.embed_texts([long]), atol=1e-6
    )


def test_nothing_in_nothing_out(scorer: ClipScorer) -> None:
    assert scorer.embed_texts([]).shape == (0, 8)
    assert scorer.embed_images([]).shape == (0, 8)


def test_wrong_images_are_refused(scorer: ClipScorer) -> None:
    with pytest.raises(ImageError, match="expected uint8"):
        scorer.embed_images([np.zeros((4, 4, 3), np.float32)])
