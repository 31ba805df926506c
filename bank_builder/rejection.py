"""Which references are rejected by comparison with the others, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.category_similarity import rows_of, similarity_to_means
from schemas.ids import FOREGROUND, unpack_feature_ids, unpack_image_ids
from schemas.sections import Reference
from schemas.store.verdicts import Verdict

_ROUNDS = 5
"""Most rounds of judging and averaging again. With 45 % of the miniature bank's references swapped
between pairs of categories, two rounds find 92 % and five find all; with 30 %, one finds 99 %."""

MIN_IMAGES = 5
"""With fewer references a median says too little to reject one of them."""

MIN_SPREAD = 0.05
"""The least spread that counts, in cosine. Where references are much alike (the miniature's cars
agree to 0.94, with a median deviation of 0.02) good images in rare colours would be outliers."""

LARGE = 0.75
"""A mask below this share of its image is never too large: without such a floor, close-ups of
things that are mostly photographed from afar would go."""

QUANTILE = 0.75
"""Of the areas of a category: as much of it may be wrong or a close-up, the rest, before the others
count as large too. With the median, right close-ups went in categories that have them in half of
their images."""


@dataclass(frozen=True)
class Judgement:
    """The verdicts of a version of a bank.

    verdicts: the person's and the automatic ones. accepted: bool (n,), which of the features that
    were judged are those of accepted images, of both roles.
    """

    verdicts: tuple[Verdict, ...]
    accepted: NDArray[np.bool_]


def judge(
    embeddings: NDArray[np.float32],
    feature_id: NDArray[np.int64],
    masks: Masks,
    names: Mapping[int, str],
    person: Sequence[Verdict],
    settings: Reference,
) -> Judgement:
    """Finds the references that are wrong, see `find_wrong`, and the features that are left.

    Memory beyond the embeddings, which may be mapped from a file, is some numbers an image, a
    vector a category, the references of one category, and a block of cosines.

    Args:
        embeddings: (n, d) float32, L2-normalised, of the images that the shards accept, less those
            that a person rejected, plus those that a person accepted.
        feature_id: (n,) of each, in `schemas.store.index.index_order`.
        masks: of the foreground features' images, in their order.
        names: of the categories, by category_id.
        person: a person's verdicts; they stay, and stand above the automatic ones.
        settings: those in `schemas.settings.COMPARING_IMAGES`.
    """
    image_id, role = unpack_feature_ids(feature_id)
    foregrounds = slice(0, int(np.count_nonzero(role == FOREGROUND)))
    reasons = find_wrong(embeddings[foregrounds], image_id[foregrounds], masks, names, settings)
    verdicts = [
        *person,
        *(Verdict(one, "rejected", reason, "automatic") for one, reason in reasons.items()),
    ]
    accepted_by_person = {one.image_id for one in person if one.status == "accepted"}
    accepted = ~np.isin(image_id, list(reasons.keys() - accepted_by_person))
    return Judgement(tuple(verdicts), accepted)


def find_wrong(
    features: NDArray[np.float32],
    image_id: NDArray[np.int64],
    masks: Masks,
    names: Mapping[int, str],
    settings: Reference,
) -> dict[int, str]:
    """Finds the references that are wrong by comparison with others [ours; the idea: ReME].

    Across categories, those that are nearer to another category (`find_confusions`). Within every
    category and source, those whose mask is too large (`find_too_large`) and, among the rest, the
    outliers (`find_outliers`). By source, because photos differ from generated images: a few photos
    among many of those are not wrong for that.

    Args:
        features: (n, d), L2-normalised, the foreground features of the accepted images of a bank.
        image_id: (n,) of each, all different.
        masks: of each.
        names: of the categories, by category_id.
        settings: those in `schemas.settings.COMPARING_IMAGES`.

    Returns:
        The reason by image_id. It names the bound and the other category, not the image's own
        numbers, so that images can be counted by it.
    """
    reasons = _confused(features, image_id, names, settings.confusion_margin)
    for own in _by_origin(image_id):
        reasons |= _too_large(image_id, masks, own, settings.max_excess)
    rest = np.flatnonzero(~np.isin(image_id, list(reasons)))
    for own in _by_origin(image_id[rest]):
        reasons |= _outlying(features, image_id, rest[own], settings.outlier_mads)
    return reasons


def _by_origin(image_id: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The positions of the images of each category and source."""
    keys = unpack_image_ids(image_id)
    order = np.lexsort((keys.source_code, keys.category_id))
    groups = np.stack([keys.category_id[order], keys.source_code[order]])
    ends = np.flatnonzero((groups[:, 1:] != groups[:, :-1]).any(axis=0)) + 1
    return np.split(order, ends)


def _confused(
    features: NDArray[np.float32],
    image_id: NDArray[np.int64],
    names: Mapping[int, str],
    margin: float,
) -> dict[int, str]:
    """The reason, by image_id, of those that are nearer to another category."""
    return {
        int(image_id[one.position]): (
            f"nearer to another category, {names[one.category_id]} (by more than {margin:g} in "
            "cosine)"
        )
        for one in find_confusions(features, unpack_image_ids(image_id).category_id, margin)
    }


def _too_large(
    image_id: NDArray[np.int64], masks: Masks, rows: NDArray[np.intp], max_excess: float
) -> dict[int, str]:
    """The reason, by image_id, of too large masks among these rows of one category and source."""
    own = Masks(masks.area[rows], masks.given[rows])
    reason = (
        f"mask too large for its category (above {LARGE:g} of the image and more than "
        f"{max_excess:g} above its upper quartile)"
    )
    return {int(image_id[rows[one]]): reason for one in find_too_large(own, max_excess)}


def _outlying(
    features: NDArray[np.float32],
    image_id: NDArray[np.int64],
    rows: NDArray[np.intp],
    mads: float,
) -> dict[int, str]:
    """The reason, by image_id, of the outliers among these rows of one category and source."""
    return {
        int(image_id[rows[one.position]]): one.reason for one in find_outliers(features[rows], mads)
    }


@dataclass(frozen=True)
class Confusion:
    """An image nearer to another category: its row in the features given, and which category."""

    position: int
    category_id: int


def find_confusions(
    features: NDArray[np.float32], category_id: NDArray[np.integer], margin: float
) -> list[Confusion]:
    """Finds the foreground features that are nearer to another category [ours; the idea: ReME].

    Leave-one-out: a reference's cosine with the mean of all other references of its category is
    compared with its cosine with every other category's mean. If another category's is larger by
    more than `margin`, the reference is confused with it. Wrong references bend the means that they
    are compared with, so the means are taken again without those found, and all references, those
    found included, are judged again, until nothing changes or for _ROUNDS rounds.

    Categories that mean nearly the same (house, building) lie closer together than the margin, and
    in any case keep most of their references: of a category at most half are rejected, those that
    are furthest on the other side first, and at least MIN_IMAGES stay. A category with fewer is not
    judged, but others are compared with it.

    Time is that of a few products (n, d) x (d, C). Memory beyond the features, which may be mapped
    from a file, is the means, the references of one category, and a block of cosines.

    Args:
        features: (n, d), L2-normalised, of all accepted images of a bank.
        category_id: (n,) of each.
        margin: cosine by which the other category must be nearer, > 0. Of references planted in
            the miniature bank, 0.05 to 0.2 find 99 % alike; the smaller, the more good ones go.

    Returns:
        By ascending position.
    """
    ids, code = np.unique(category_id, return_inverse=True)
    if len(ids) < 2:
        return []
    rows = rows_of(code)
    good = np.ones(len(features), bool)
    for _ in range(_ROUNDS):
        near = similarity_to_means(features, code, good)
        confused = _worst_first(near.other - near.own, rows, margin)
        if np.array_equal(good, ~confused):
            break
        good = ~confused
    return [
        Confusion(int(position), int(ids[near.other_code[position]]))
        for position in np.flatnonzero(~good)
    ]


def _worst_first(
    excess: NDArray[np.float32], rows: list[NDArray[np.intp]], margin: float
) -> NDArray[np.bool_]:
    """(n,) bool: an excess above the margin, of each category no more than may be rejected."""
    confused = excess > margin
    for own in rows:
        most = max(0, min(len(own) // 2, len(own) - MIN_IMAGES))
        over = own[confused[own]]
        if len(over) > most:
            confused[over[np.argsort(-excess[over], kind="stable")[most:]]] = False
    return confused


@dataclass(frozen=True)
class Outlier:
    """An image far from its category: its row in the features given, and why."""

    position: int
    reason: str


def similarity_to_others(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each feature with the mean of all the others.

    Args:
        features: (n, d) float32, L2-normalised, n >= 2.

    Returns:
        (n,) float64 in [-1, 1].
    """
    values = features.astype(np.float64)
    others = values.sum(axis=0) - values
    norms = np.linalg.norm(others, axis=1)
    similarity: NDArray[np.float64] = (values * others).sum(axis=1) / np.maximum(norms, 1e-12)
    return similarity


def find_outliers(features: NDArray[np.float32], mads: float) -> list[Outlier]:
    """Finds the foreground features of one category far from the others [ours; the idea: ReME].

    Each feature is compared with the mean of all the others. One whose cosine lies more than
    `mads` spreads below the category's median cosine is an outlier; the spread is the median
    absolute deviation, and at least MIN_SPREAD. Fewer than MIN_IMAGES features have no outliers.

    Args:
        features: (n, d) float32, L2-normalised, of one category's accepted images.
        mads: how many spreads below the median are tolerated, > 0.
    """
    if len(features) < MIN_IMAGES:
        return []
    similarity = similarity_to_others(features)
    median = float(np.median(similarity))
    spread = max(float(np.median(np.abs(similarity - median))), MIN_SPREAD)
    return [
        Outlier(
            int(position),
            f"outlier of its category (more than {mads:g} spreads below the median similarity)",
        )
        for position in np.flatnonzero(similarity < median - mads * spread)
    ]


@dataclass(frozen=True)
class Masks:
    """Areas of some references' masks, and who made them.

    Attributes:
        area: (n,) float64, the share of the image that each covers.
        given: (n,) bool, whether a person drew it.
    """

    area: NDArray[np.float64]
    given: NDArray[np.bool_]


def find_too_large(masks: Masks, max_excess: float) -> NDArray[np.intp]:
    """Finds the masks of one category and source that are too large [ours; the idea: ReME].

    One image does not say how large a mask may be: grass fills its image, a car does not, and a
    mask of the whole image fits the attention of both. The category's images together do. A large
    mask is wrong if it exceeds the upper quartile of the category's areas by more than
    `max_excess`: where the others are small, and not where they are large too, as of stuff, or of a
    thing that many images show from near.

    So at most a quarter of a category is rejected, the order does not matter, and it is shares that
    count, not the number of images. Fewer than MIN_IMAGES masks say too little. A person's mask
    counts as evidence and is never rejected. If more than a quarter of a thing's masks are of the
    whole image, areas cannot tell it from stuff: then all stay, for the comparison of features.

    Args:
        masks: of one category's accepted images.
        max_excess: in [0, 1], a share of the image; 1 lets all pass.

    Returns:
        Positions in `masks`, ascending.
    """
    area = masks.area
    if len(area) < MIN_IMAGES:
        return np.empty(0, np.intp)
    usual = np.quantile(area, QUANTILE, method="inverted_cdf")
    return np.flatnonzero((area >= LARGE) & (area - usual > max_excess) & ~masks.given)
