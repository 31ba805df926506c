"""What a bank has stored: features without the verdicts, and images with their attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from bank_builder.localise import Localisation, localise
from bank_builder.rejection import Masks, find_wrong
from benchmarks.accuracy.references import selected
from foundation.images.reading import decode_png
from schemas.ids import FOREGROUND, unpack_feature_ids, unpack_image_ids
from schemas.sections import Localisation as LocalisationSettings
from schemas.sections import Reference
from schemas.store.bank import BankFeatures, StoredBank
from schemas.store.index import index_order

Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image of a bank, whether it was accepted or not.

    category: its name. accepted: with all verdicts applied. image: (H, W, 3) uint8 RGB.
    localisation: of its attention map, at the image's size.
    """

    image_id: int
    category: str
    accepted: bool
    image: Image
    localisation: Localisation


def stored_features(bank: StoredBank, *, rejected: bool) -> BankFeatures:
    """Features of both roles, also of images that were rejected by comparison with others.

    rejected: also of images that were rejected by themselves.
    """
    stored = bank.datasets()
    table = stored.features.to_table(["feature_id", "embedding"])
    feature_id = table["feature_id"].to_numpy()
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    order = index_order(feature_id)
    feature_id = feature_id[order]
    image_id, role = unpack_feature_ids(feature_id)
    every = BankFeatures(
        embeddings=flat.reshape(len(feature_id), -1)[order].astype(np.float32),
        feature_id=feature_id,
        image_id=image_id,
        category_id=unpack_image_ids(image_id).category_id,
        role=role,
    )
    if rejected:
        return every
    accepted = stored.images.to_table(["image_id"], filter=pc.field("status") == "accepted")
    return selected(every, np.isin(image_id, accepted["image_id"].to_numpy()))


def mask_areas(bank: StoredBank) -> dict[int, float]:
    """The share of its image that each mask of a bank covers, by image_id."""
    rows = bank.images_table(["image_id", "mask_area"]).to_pylist()
    return {row["image_id"]: row["mask_area"] for row in rows if row["mask_area"] is not None}


def compared(
    features: BankFeatures,
    areas: Mapping[int, float],
    names: Mapping[int, str],
    settings: Reference,
) -> BankFeatures:
    """The features without the images that the builder rejects by comparison.

    areas: of the images' masks, by image_id. names: of the categories, by category_id.
    """
    own = features.role == FOREGROUND
    image_id = features.image_id[own]
    area = np.array([areas[one] for one in image_id.tolist()])
    wrong = rejected_images(features.embeddings[own], image_id, area, names, settings)
    return selected(features, ~np.isin(features.image_id, list(wrong)))


def rejected_images(
    embeddings: NDArray[np.float32],
    image_id: NDArray[np.int64],
    area: NDArray[np.float64],
    names: Mapping[int, str],
    settings: Reference,
) -> dict[int, str]:
    """The images that the builder rejects when it compares them, with the reasons.

    Args:
        embeddings: (n, d), of the foregrounds.
        image_id: (n,).
        area: (n,), the masks' shares of their images; none of the masks is a user's.
        names: of the categories, by category_id.
    """
    return dict(
        find_wrong(embeddings, image_id, Masks(area, np.zeros(len(area), bool)), names, settings)
    )


def first_numbers(features: BankFeatures, count: int) -> BankFeatures:
    """The features of the images numbered 0 to `count` - 1 of each category."""
    return selected(features, unpack_image_ids(features.image_id).number < count)


def stored_images(bank: StoredBank, most: int | None = None) -> Iterator[StoredImage]:
    """The images that have an attention map, by ascending image_id.

    A bank stores its attention maps scaled to 8 bits, so whether a map is flat is read from the
    contrast in its row.

    most: so many of each category, by their numbers; None: all.
    """
    names = {record.category_id: record.name for record in bank.categories}
    rows = bank.images_table(["image_id", "status", "contrast"]).to_pylist()
    known = {row["image_id"]: row for row in rows if row["contrast"] is not None}
    if most is not None:
        numbers = unpack_image_ids(list(known)).number.tolist()
        known = {one: row for (one, row), n in zip(known.items(), numbers, strict=True) if n < most}
    images, maps = bank.png(known), bank.attention_png(known)
    for image_id in sorted(images.keys() & maps.keys()):
        image = np.asarray(decode_png(images[image_id]), np.uint8)
        attention = decode_png(maps[image_id]).astype(np.float32)
        row = known[image_id]
        yield StoredImage(
            image_id=image_id,
            category=names[int(unpack_image_ids([image_id]).category_id[0])],
            accepted=row["status"] == "accepted",
            image=image,
            localisation=restored(
                attention,
                row["contrast"],
                (image.shape[0], image.shape[1]),
                bank.settings.localisation,
            ),
        )


def restored(
    attention: NDArray[np.float32],
    contrast: float,
    size: tuple[int, int],
    settings: LocalisationSettings,
) -> Localisation:
    """Localises as the builder did, from a map that was stretched to 0..255 since.

    Args:
        attention: (h, w), stretched.
        contrast: of the map as the generator gave it.
        size: (height, width) of the image.
    """
    found = localise(attention, size, settings)
    everywhere = contrast < settings.min_contrast
    # A stretched map that is flat says so itself; any other is binarised as it was then.
    binary = np.ones(size, bool) if everywhere else found.binary
    return replace(found, binary=binary, contrast=contrast, everywhere=everywhere)
