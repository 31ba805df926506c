"""Verdicts across all images of a bank, and which features are left for its index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_builder.confusions import find_confusions
from bank_builder.large_masks import LARGE, Masks, find_too_large
from bank_builder.outliers import find_outliers
from schemas.ids import FOREGROUND, unpack_feature_ids, unpack_image_ids
from schemas.sections import Reference
from schemas.store.verdicts import Verdict


@dataclass(frozen=True)
class Judgement:
    """What a version of a bank says about its images.

    verdicts: the person's and the automatic ones. kept: bool (n,), which of the features that were
    judged are those of accepted images, of both roles.
    """

    verdicts: tuple[Verdict, ...]
    kept: NDArray[np.bool_]


def judge(
    embeddings: NDArray[np.float32],
    feature_id: NDArray[np.int64],
    masks: Masks,
    names: Mapping[int, str],
    person: Sequence[Verdict],
    settings: Reference,
) -> Judgement:
    """Find the references that are wrong; see `find_wrong`.

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
    kept = ~np.isin(image_id, list(reasons.keys() - accepted_by_person))
    return Judgement(tuple(verdicts), kept)


def find_wrong(
    features: NDArray[np.float32],
    image_id: NDArray[np.int64],
    masks: Masks,
    names: Mapping[int, str],
    settings: Reference,
) -> dict[int, str]:
    """The references that are wrong by comparison with others, and why [ours; the idea: ReME].

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
    """Why, by image_id, for those that are nearer to another category."""
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
    """Why, by image_id, for the too large masks among these rows of one category and source."""
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
    """Why, by image_id, for the outliers among these rows of one category and source."""
    return {
        int(image_id[rows[one.position]]): one.reason for one in find_outliers(features[rows], mads)
    }
