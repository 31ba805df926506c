"""References to name regions by, and naming by them: the bank's, and others in their place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import rim
from foundation.images import decode_png
from foundation.pooling import pool_regions
from foundation.stack import ModelStack
from miniature.judge import Judge, judge
from miniature.world import CATEGORIES, STUFF, draw_single

Features = NDArray[np.float32]
_REFERENCE_SEED = 5_000_000_000  # neither trained on nor scored


@dataclass(frozen=True)
class Naming:
    """Names features (n, d) by a vote of the k nearest references, as `query.matchers.knn`."""

    references: Features
    labels: NDArray[np.int64]
    neighbours: int

    def __call__(self, features: Features) -> tuple[NDArray[np.int64], Features]:
        cosine = features @ self.references.T
        nearest = np.argsort(-cosine, axis=1)[:, : self.neighbours]
        votes = np.zeros((len(features), len(CATEGORIES)), np.float32)
        np.add.at(
            votes,
            (np.arange(len(features))[:, None], self.labels[nearest]),
            (1 + np.take_along_axis(cosine, nearest, 1)) / 2,
        )
        return votes.argmax(1), votes.max(1) / self.neighbours


def bank_references(bank: rim.Bank) -> tuple[Features, NDArray[np.int64]]:
    """The bank's foreground features and their labels in the world's order."""
    stored = bank.features()
    foreground = stored.role == 0
    names = {record.category_id: record.name for record in bank.categories}
    labels = [CATEGORIES.index(names[i]) for i in stored.category_id[foreground].tolist()]
    return stored.embeddings[foreground], np.asarray(labels)


def judged_references(
    bank: rim.Bank, stack: ModelStack, model: Judge
) -> tuple[Features, NDArray[np.int64]]:
    """The bank's accepted pictures under the masks of the judge, who learned from the truth.

    Generated pictures have no truth of their own. Stuff fills its picture.
    """
    rows = bank.sql(
        "SELECT category, png FROM images WHERE status = 'accepted' ORDER BY image_id"
    ).fetchall()
    images = [np.asarray(decode_png(png), np.uint8) for _, png in rows]
    masks = judge(model, images).masks
    pictures = [
        (name, image, np.ones_like(mask) if name in STUFF else mask)
        for (name, _), image, mask in zip(rows, images, masks, strict=True)
    ]
    return _pooled(stack, pictures)


def world_references(
    stack: ModelStack, counts: dict[str, int]
) -> tuple[Features, NDArray[np.int64]]:
    """The world's own single pictures under their true masks, `counts` of each category."""
    pictures = []
    for label, name in enumerate(CATEGORIES):
        for number in range(counts.get(name, 0)):
            scene = draw_single(_REFERENCE_SEED + number, name, (64, 64))
            pictures.append((name, scene.image, scene.labels == label))
    return _pooled(stack, pictures)


def _pooled(
    stack: ModelStack, pictures: list[tuple[str, NDArray[np.uint8], NDArray[np.bool_]]]
) -> tuple[Features, NDArray[np.int64]]:
    """Features (n, d) of pictures under their masks and labels (n,), empty masks left out."""
    features, labels = [], []
    for name, image, mask in pictures:
        pooled, valid = pool_regions(stack.features.extract([image])[0], mask[None])
        if valid[0]:
            features.append(pooled[0])
            labels.append(CATEGORIES.index(name))
    return np.stack(features), np.asarray(labels)
