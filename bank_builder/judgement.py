"""Verdicts across all images of a bank, and the features that are left for its index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bank_builder.confusions import find_confusions
from bank_builder.outliers import find_outliers
from schemas.ids import FOREGROUND, SOURCES, unpack_feature_ids, unpack_image_ids
from schemas.parquet import read_table
from schemas.sections import Reference
from schemas.shards import ShardFeatures, ShardRecord, read_features, shard_folder
from schemas.verdicts import Verdict, effective_verdicts


@dataclass(frozen=True)
class Judgement:
    """What a version of a bank says about its images.

    verdicts: the person's and the automatic ones. embeddings: float32 (n, d), the features of the
    accepted images of both roles. feature_id: int64 (n,), ascending.
    """

    verdicts: tuple[Verdict, ...]
    embeddings: NDArray[np.float32]
    feature_id: NDArray[np.int64]


def judge(
    bank: Path,
    shards: Iterable[ShardRecord],
    names: Mapping[int, str],
    person: Sequence[Verdict],
    settings: Reference,
    dimension: int,
) -> Judgement:
    """Find the references that are wrong, and collect the features of all accepted images.

    Compared are the images that the shards accept, less those that a person rejected, plus those
    that a person accepted; see `find_wrong`.

    Args:
        shards: of the categories that were not removed.
        names: of the categories, by category_id.
        person: a person's verdicts; they stay, and stand above the automatic ones.
        settings: `confusion_margin` and `outlier_mads`.
        dimension: d.

    Raises:
        BankDamaged: a shard's file is not what was written.
    """
    found = _accepted_features(bank, shards, person, dimension)
    rows = np.flatnonzero(found.role == FOREGROUND)
    reasons = find_wrong(found.embeddings[rows], found.image_id[rows], names, settings)
    verdicts = [
        *person,
        *(Verdict(one, "rejected", reason, "automatic") for one, reason in reasons.items()),
    ]
    accepted_by_person = {one.image_id for one in person if one.status == "accepted"}
    dropped = np.isin(found.image_id, list(reasons.keys() - accepted_by_person))
    return Judgement(tuple(verdicts), found.embeddings[~dropped], found.feature_id[~dropped])


def find_wrong(
    features: NDArray[np.float32],
    image_id: NDArray[np.int64],
    names: Mapping[int, str],
    settings: Reference,
) -> dict[int, str]:
    """The references that are wrong by comparison with others, and why [ours; the idea: ReME].

    First, across categories, those that are nearer to another category (`find_confusions`); then,
    among the rest of every category and source, the outliers (`find_outliers`). Outliers are sought
    by source because photos differ from generated pictures: a few photos among many pictures are
    not wrong for that.

    Args:
        features: (n, d), L2-normalised, the foreground features of the accepted images of a bank.
        image_id: (n,) of each, all different.
        names: of the categories, by category_id.
        settings: `confusion_margin` and `outlier_mads`.

    Returns:
        The reason by image_id. It names the bound and the other category, not the image's own
        numbers, so that images can be counted by it.
    """
    margin = settings.confusion_margin
    reasons = {
        int(image_id[one.position]): (
            f"nearer to another category, {names[one.category_id]} (by more than {margin:g} in "
            "cosine)"
        )
        for one in find_confusions(features, unpack_image_ids(image_id).category_id, margin)
    }
    rest = ~np.isin(image_id, list(reasons))
    return reasons | _outlying(features[rest], image_id[rest], settings.outlier_mads)


def _accepted_features(
    bank: Path, shards: Iterable[ShardRecord], person: Sequence[Verdict], dimension: int
) -> ShardFeatures:
    """The features of the images that shards or a person accept, ascending by feature_id."""
    ordered = sorted(
        shards, key=lambda shard: (shard.category_id, SOURCES.index(shard.source), shard.start)
    )
    embeddings = np.empty((sum(shard.features.rows for shard in ordered), dimension), np.float32)
    feature_ids: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    count = 0
    for shard in ordered:
        part = read_features(bank, shard)
        kept = np.isin(part.image_id, _accepted(_statuses(bank, shard), person))
        stop = count + int(kept.sum())
        embeddings[count:stop] = part.embeddings[kept]
        feature_ids.append(part.feature_id[kept])
        count = stop
    feature_id = np.concatenate(feature_ids)
    image_id, role = unpack_feature_ids(feature_id)
    return ShardFeatures(embeddings[:count], feature_id, image_id, role)


def _outlying(
    features: NDArray[np.float32], image_id: NDArray[np.int64], mads: float
) -> dict[int, str]:
    """Why, by image_id, for the outliers of each category and source."""
    keys = unpack_image_ids(image_id)
    groups = np.stack([keys.category_id, keys.source_code], axis=1)
    reasons: dict[int, str] = {}
    for group in np.unique(groups, axis=0):
        rows = np.flatnonzero((groups == group).all(axis=1))
        reasons |= {
            int(image_id[rows[one.position]]): one.reason
            for one in find_outliers(features[rows], mads)
        }
    return reasons


def _accepted(statuses: dict[int, str], verdicts: Sequence[Verdict]) -> list[int]:
    """The images that are accepted once the verdicts are applied; a failed image never is."""
    counting = effective_verdicts(verdicts)
    return [
        image_id
        for image_id, status in statuses.items()
        if status != "failed"
        and (counting[image_id].status if image_id in counting else status) == "accepted"
    ]


def _statuses(bank: Path, shard: ShardRecord) -> dict[int, str]:
    table = read_table(shard_folder(bank, shard) / shard.images.name, ["image_id", "status"])
    return dict(zip(table["image_id"].to_pylist(), table["status"].to_pylist(), strict=True))
