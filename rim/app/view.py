"""What the page shows of a labelled photo: a picture, its labels, and a spot under every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from query.label_map import count_labels
from query.overlay import name_places
from schemas.ids import UNLABELLED

if TYPE_CHECKING:
    from query.segmentation import Segmentation, SegmentedPhoto

SHOWN_SIDE = 1280
"""Longer sides are shown smaller; the labels themselves keep the photo's size."""

NAMED_SHARE = 0.002
"""Of the photo, that a category needs for its name to stand over it; the legend has them all."""

MAX_SPOTS = (1 << 16) - 1


@dataclass(frozen=True)
class Spot:
    """What a pixel belongs to: a region, or all that has a category without one of its own.

    Attributes:
        category, category_id: of the bank.
        region: its number in `Segmentation.regions`; None for pixels that patches, or several
            regions of other categories together, have named.
        score: in [0, 1], of the region.
        similarity: cosine to the most similar reference, in [-1, 1].
    """

    category: str
    category_id: int
    region: int | None = None
    score: float | None = None
    similarity: float | None = None


@dataclass(frozen=True)
class Share:
    """One line of the legend. share: of the photo's pixels, in (0, 1]."""

    category: str
    category_id: int
    share: float


@dataclass(frozen=True)
class Plate:
    """A name drawn over the photo. x, y: of its centre, as shares of width and height."""

    category: str
    category_id: int
    x: float
    y: float


@dataclass(frozen=True, eq=False)
class PhotoView:
    """A labelled photo as it is shown, h x w pixels of the photo's H x W.

    Attributes:
        picture: uint8 (h, w, 3).
        labels: (h, w) int32 category_id, -1 unlabelled.
        spot_of: (h, w) uint16, 1 + the place in `spots`; 0 unlabelled.
        spots: regions by falling score, then categories.
        shares: the categories in the photo, largest first.
        unlabelled: share of the photo's pixels.
        plates: where names stand.
    """

    picture: NDArray[np.uint8]
    labels: NDArray[np.int32]
    spot_of: NDArray[np.uint16]
    spots: tuple[Spot, ...]
    shares: tuple[Share, ...]
    unlabelled: float
    plates: tuple[Plate, ...]


def view_photo(photo: SegmentedPhoto, result: Segmentation, side: int = SHOWN_SIDE) -> PhotoView:
    """How a labelled photo is shown.

    A pixel belongs to the region that said most for its label: of the masks over it that have the
    label's category, the one with the largest score / area, which is what it weighs in the vote of
    `query.label_map.combine` [ours].

    Args:
        photo: cut into regions.
        result: the same photo, labelled.
        side: pixels, of the longer side at most.
    """
    rows, columns = (_sampled(length, side, result.label_map.shape) for length in (0, 1))
    parts = photo.partition.at(rows, columns)
    labels = result.label_map[rows[:, None], columns]
    spot_of, spots = _spots(photo, result, parts, labels)
    shares = _shares(result)
    return PhotoView(
        picture=_shown(result.image, len(rows), len(columns)),
        labels=labels,
        spot_of=spot_of,
        spots=spots,
        shares=shares,
        unlabelled=float(np.mean(result.label_map == UNLABELLED)),
        plates=_plates(result, shares),
    )


def _sampled(axis: int, side: int, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The rows (axis 0) or columns (1) of the photo that are shown, at pixel centres."""
    length, longest = shape[axis], max(shape)
    shown = length if longest <= side else max(1, round(length * side / longest))
    return ((np.arange(shown) + 0.5) * length / shown).astype(np.intp)


def _shown(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    from PIL import Image

    smaller = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(smaller, np.uint8)


def _spots(
    photo: SegmentedPhoto,
    result: Segmentation,
    parts: NDArray[np.int32],
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.uint16], tuple[Spot, ...]]:
    place = {id(region.mask): column for column, region in enumerate(photo.regions)}
    regions = result.regions[:MAX_SPOTS]
    members = photo.partition.members[:, [place[id(region.mask)] for region in regions]]
    category = np.array([region.category_id for region in regions], np.int32)
    weight = np.array([region.score / region.area for region in regions], np.float64)
    spots = [
        Spot(region.category, region.category_id, number, region.score, region.similarity)
        for number, region in enumerate(regions)
    ]
    # Few pairs of a part and a label: under masks all pixels of a part have the same one.
    pairs, of_pixel = np.unique(
        np.stack([parts.ravel(), labels.ravel()]), axis=1, return_inverse=True
    )
    spot_of_pair = np.zeros(pairs.shape[1], np.uint16)
    without: dict[int, int] = {}
    for number, (part, label) in enumerate(pairs.T.tolist()):
        if label == UNLABELLED:
            continue
        said = np.flatnonzero(members[part] & (category == label))
        if said.size:
            spot_of_pair[number] = 1 + said[weight[said].argmax()]
            continue
        if label not in without and len(spots) < MAX_SPOTS:
            spots.append(Spot(result.category_names[label], label))
            without[label] = len(spots)
        spot_of_pair[number] = without.get(label, 0)
    return spot_of_pair[of_pixel.reshape(labels.shape)], tuple(spots)


def _shares(result: Segmentation) -> tuple[Share, ...]:
    ids, pixels = count_labels(result.label_map)
    order = np.argsort(-pixels, kind="stable")
    return tuple(
        Share(result.category_names[category_id], category_id, count / result.label_map.size)
        for category_id, count in zip(ids[order].tolist(), pixels[order].tolist(), strict=True)
        if category_id != UNLABELLED
    )


def _plates(result: Segmentation, shares: Sequence[Share]) -> tuple[Plate, ...]:
    height, width = result.label_map.shape
    worth = {one.category_id for one in shares if one.share >= NAMED_SHARE}
    return tuple(
        Plate(
            result.category_names[category_id], category_id, (x + 0.5) / width, (y + 0.5) / height
        )
        for category_id, (x, y) in name_places(result.label_map)
        if category_id in worth
    )
