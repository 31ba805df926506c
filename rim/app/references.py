"""The references behind a region as cards: a small image with its mask, and its facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from foundation.images.masks import decode_rle
from foundation.images.reading import decode_png, encode_png
from rim.app.trial import TrialCategory, own_place
from rim.bank import Bank
from schemas.errors import ImageError
from schemas.ids import unpack_image_id
from schemas.rle import Rle

if TYPE_CHECKING:
    from query.result import NearReference

CARD_SIDE = 192
"""Pixels of the longer side of a card's image."""

_OUTSIDE = 0.35  # of its brightness, what lies outside the mask keeps


@dataclass(frozen=True)
class ReferenceCard:
    """A reference image as the page shows it.

    Attributes:
        image_id: of the bank, or one that stands for an image of a category on trial.
        category, category_id: of the image.
        number: within the category.
        similarity: cosine of its feature to the region's; None where there is no region.
        status, reason: of the image in the bank.
        on_trial: whether its category is on trial.
        png: the image, dark outside the mask; None if the bank has none.
    """

    image_id: int
    category: str
    category_id: int
    number: int
    similarity: float | None
    status: str
    reason: str | None
    on_trial: bool
    png: bytes | None


def reference_cards(
    bank: Bank, trials: Sequence[TrialCategory], references: Iterable[NearReference]
) -> tuple[ReferenceCard, ...]:
    """The cards of references, in their order.

    Raises BankError for an image that is not in the bank, BankDamaged for one that is damaged.
    """
    wanted = tuple(references)
    similarity = {one.image_id: one.similarity for one in wanted}
    return _cards(bank, trials, similarity)


def image_cards(
    bank: Bank, trials: Sequence[TrialCategory], image_ids: Iterable[int]
) -> tuple[ReferenceCard, ...]:
    """The cards of images, without a region that they would be compared with; raises as above."""
    return _cards(bank, trials, dict.fromkeys(image_ids))


def _cards(
    bank: Bank, trials: Sequence[TrialCategory], similarity: Mapping[int, float | None]
) -> tuple[ReferenceCard, ...]:
    """The cards of the images that are the keys, in their order."""
    homes = {image_id: own_place(bank, trials, image_id) for image_id in similarity}
    cards: dict[int, ReferenceCard] = {}
    for home in {id(home): home for home, _ in homes.values()}.values():
        own = {own_id: image_id for image_id, (place, own_id) in homes.items() if place is home}
        pixels = home.png(own)
        for row in _facts(home, own):
            image_id = own[row["image_id"]]
            key = unpack_image_id(image_id)
            png = pixels.get(row["image_id"])
            cards[image_id] = ReferenceCard(
                image_id=image_id,
                category=row["category"],
                category_id=key.category_id,
                number=key.number,
                similarity=similarity[image_id],
                status=row["status"],
                reason=row["reason"],
                on_trial=home is not bank,
                png=None
                if png is None
                else encode_png(card_image(decode_png(png), _rle(row["mask"]))),
            )
    return tuple(cards[image_id] for image_id in similarity)


def _facts(bank: Bank, image_ids: Iterable[int]) -> list[dict[str, Any]]:
    columns = ["image_id", "category", "status", "reason", "mask"]
    table = bank.images_table(columns)
    rows: list[dict[str, Any]] = table.filter(
        pc.field("image_id").isin(list(image_ids))
    ).to_pylist()
    return rows


def _rle(mask: Mapping[str, Any] | None) -> Rle | None:
    return None if mask is None else Rle((mask["size"][0], mask["size"][1]), mask["counts"])


def card_image(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], mask: Rle | None
) -> NDArray[np.uint8]:
    """Returns an image, uint8 (H, W, 3), at most CARD_SIDE large; darker outside the mask.

    Raises ImageError for another shape or type, or a mask of another size.
    """
    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise ImageError(f"expected uint8 (H, W, 3), found {pixels.dtype} {pixels.shape}")
    shown = pixels
    if mask is not None:
        inside = decode_rle(mask)
        if inside.shape != pixels.shape[:2]:
            raise ImageError(f"expected a mask of {pixels.shape[:2]}, found {inside.shape}")
        shown = np.where(inside[:, :, None], pixels, pixels * _OUTSIDE).astype(np.uint8)
    image = Image.fromarray(shown.astype(np.uint8))
    image.thumbnail((CARD_SIDE, CARD_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8)
