"""References in place of the bank's: its images under other masks, or other images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bank_builder.reference import pool_reference
from foundation.images.reading import decode_png
from foundation.stack import ModelStack
from miniature.training.judge import Judge, judge
from miniature.world import CATEGORIES, STUFF, draw_single
from schemas.ids import (
    BACKGROUND,
    DIFFUSION,
    FOREGROUND,
    pack_feature_id,
    pack_image_id,
    unpack_feature_ids,
    unpack_image_ids,
)
from schemas.store.bank import BankFeatures, StoredBank
from schemas.store.index import index_order

Features = NDArray[np.float32]
Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
_REFERENCE_SEED = 5_000_000_000  # neither trained on nor scored
_AT_ONCE = 50


def as_bank_features(embeddings: Mapping[int, Features], dimension: int) -> BankFeatures:
    """Returns features (d,), given by feature_id, as those of a bank, in its order."""
    feature_id = np.array(list(embeddings), np.int64)
    feature_id = feature_id[index_order(feature_id)]
    image_id, role = unpack_feature_ids(feature_id)
    stacked = np.array([embeddings[int(one)] for one in feature_id], np.float32)
    return BankFeatures(
        embeddings=stacked.reshape(-1, dimension),
        feature_id=feature_id,
        image_id=image_id,
        category_id=unpack_image_ids(image_id).category_id,
        role=role,
    )


def selected(features: BankFeatures, rows: NDArray[np.bool_]) -> BankFeatures:
    """Returns the rows of features where `rows` (n,) is True."""
    return BankFeatures(
        embeddings=features.embeddings[rows],
        feature_id=features.feature_id[rows],
        image_id=features.image_id[rows],
        category_id=features.category_id[rows],
        role=features.role[rows],
    )


def pooled(
    tokens: Iterable[tuple[int, NDArray[np.float32], Mask]], min_area: float, dimension: int
) -> BankFeatures:
    """Pools features of both roles as the builder does.

    Args:
        tokens: image_id, patch tokens (gh, gw, d) and mask (H, W) of each image.
        min_area: of a background that has a feature, see `bank_builder.reference.pool_reference`.
        dimension: d.
    """
    found: dict[int, Features] = {}
    for image_id, grid, mask in tokens:
        regions = pool_reference(grid, mask, min_area)
        for role, feature in (
            (FOREGROUND, regions.foreground),
            (BACKGROUND, regions.background),
        ):
            if feature is not None:
                found[pack_feature_id(image_id, role)] = feature
    return as_bank_features(found, dimension)


def patch_tokens(stack: ModelStack, images: Sequence[Image]) -> Iterator[NDArray[np.float32]]:
    """The patch tokens (gh, gw, d) of each image, computed in batches."""
    for start in range(0, len(images), _AT_ONCE):
        yield from stack.features.extract(images[start : start + _AT_ONCE])


def judged_masks(model: Judge, images: Iterable[tuple[str, Image]]) -> list[Mask]:
    """The masks (64, 64) of generated images, each given with its category, as the judge has them.

    Generated images have no ground truth; the judge learned from the world's. Stuff fills its
    image.
    """
    names, pixels = zip(*images, strict=True)
    masks = judge(model, pixels).masks
    return [
        np.ones_like(mask) if name in STUFF else mask
        for name, mask in zip(names, masks, strict=True)
    ]


def judged_references(bank: StoredBank, stack: ModelStack, model: Judge) -> BankFeatures:
    """The features of the bank's accepted images under the masks of the judge."""
    names = {record.category_id: record.name for record in bank.categories}
    ids = np.unique(bank.features().image_id)
    stored = bank.png(ids.tolist())
    images = [np.asarray(decode_png(stored[one]), np.uint8) for one in ids.tolist()]
    labels = [names[one] for one in unpack_image_ids(ids).category_id.tolist()]
    masks = judged_masks(model, zip(labels, images, strict=True))
    return _pooled_images(bank, stack, ids.tolist(), images, masks)


def world_references(bank: StoredBank, stack: ModelStack) -> BankFeatures:
    """The features of the world's own single images under their true masks.

    There are as many of each category as the bank has accepted.
    """
    stored = bank.features()
    own = stored.category_id[stored.role == FOREGROUND]
    ids, images, masks = [], [], []
    for record in bank.categories:
        label = CATEGORIES.index(record.name)
        for number in range(int((own == record.category_id).sum())):
            scene = draw_single(_REFERENCE_SEED + number, record.name)
            ids.append(pack_image_id(record.category_id, DIFFUSION, number))
            images.append(scene.image)
            masks.append(scene.labels == label)
    return _pooled_images(bank, stack, ids, images, masks)


def _pooled_images(
    bank: StoredBank,
    stack: ModelStack,
    image_ids: Sequence[int],
    images: Sequence[Image],
    masks: Sequence[Mask],
) -> BankFeatures:
    return pooled(
        zip(image_ids, patch_tokens(stack, images), masks, strict=True),
        bank.settings.reference.min_area,
        bank.manifest.dimension,
    )
