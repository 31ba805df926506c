"""What the categories' names say about regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foundation.images.masks import mask_box
from query.text_similarity import TextSimilarity, cut_out
from schemas.records import CategoryRecord
from schemas.sections import Generation


class Scorer:
    """Sentences about an apple point east, all others north; images by their mean red."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.sentences = list(texts)
        return np.array([[1, 0] if "apple" in text else [0, 1] for text in texts], np.float32)

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        red = np.array([image[:, :, 0].mean() / 255 for image in images])
        return np.stack([np.sqrt(red), np.sqrt(1 - red)], axis=1).astype(np.float32)


def test_a_cut_out_is_the_region_alone_on_its_mean_colour() -> None:
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    mask = np.zeros((5, 6), bool)
    mask[1, 1:5] = True
    mask[2, 2] = True
    square = cut_out(image, mask_box(mask), mask[1:3, 1:5])
    assert square.shape == (4, 4, 3)
    np.testing.assert_array_equal(
        square[2], [around := np.rint(image[mask].mean(0)), image[2, 2], around, around]
    )
    np.testing.assert_array_equal(square[1], image[1, 1:5])
    assert (square[[0, 3]] == around).all()


def test_probabilities_are_a_softmax_over_the_candidates() -> None:
    scorer = Scorer()
    records = [
        CategoryRecord(category_id=4, name="apple"),
        CategoryRecord(category_id=6, name="grass"),
        CategoryRecord(category_id=9, name="sky_other"),
    ]
    evidence = TextSimilarity(scorer, records, Generation(no_article=("grass",)))
    assert scorer.sentences == ["a photo of an apple", "a photo of grass", "a photo of a sky"]
    regions = evidence.embed([np.full((2, 2, 3), 255, np.uint8), np.full((2, 2, 3), 127, np.uint8)])
    found = evidence.probabilities(regions, np.array([4, 9], np.int32))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    cosine = regions[1] @ np.eye(2)
    ratio = np.exp(100 * (cosine[0] - cosine[1]))
    np.testing.assert_allclose(found[1, 0] / found[1, 1], ratio, rtol=1e-2)
    assert found[0, 0] > 0.999
