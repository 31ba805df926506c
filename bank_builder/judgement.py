"""Verdicts across all images of a bank, and the features that are left for its index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bank_builder.outliers import find_outliers
from schemas.ids import FOREGROUND, SOURCES
from schemas.parquet import read_table
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
    person: Sequence[Verdict],
    mads: float,
    dimension: int,
) -> Judgement:
    """Find the outliers of every category, and collect the features of all accepted images.

    A category's outliers are sought among the images that its shards accept, less those that a
    person rejected, plus those that a person accepted. Categories are read one by one.

    Args:
        shards: of the categories that were not removed.
        person: a person's verdicts; they stay, and stand above the automatic ones.
        mads: see `bank_builder.outliers.find_outliers`.
        dimension: d.

    Raises:
        BankDamaged: a shard's file is not what was written.
    """
    ordered = sorted(
        shards, key=lambda shard: (shard.category_id, SOURCES.index(shard.source), shard.start)
    )
    verdicts = list(person)
    embeddings = np.empty((sum(shard.features.rows for shard in ordered), dimension), np.float32)
    feature_ids: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    count = 0
    for _, group in groupby(ordered, key=lambda shard: shard.category_id):
        category = list(group)
        features = _joined([read_features(bank, shard) for shard in category])
        statuses = _statuses(bank, category)
        judged = np.isin(features.image_id, _accepted(statuses, person))
        foreground = np.flatnonzero(judged & (features.role == FOREGROUND))
        outliers = [
            Verdict(
                int(features.image_id[foreground[one.position]]),
                "rejected",
                one.reason,
                "automatic",
            )
            for one in find_outliers(features.embeddings[foreground], mads)
        ]
        verdicts.extend(outliers)
        kept = np.isin(features.image_id, _accepted(statuses, [*person, *outliers]))
        stop = count + int(kept.sum())
        embeddings[count:stop] = features.embeddings[kept]
        feature_ids.append(features.feature_id[kept])
        count = stop
    return Judgement(tuple(verdicts), embeddings[:count], np.concatenate(feature_ids))


def _accepted(statuses: dict[int, str], verdicts: Sequence[Verdict]) -> list[int]:
    """The images that are accepted once the verdicts are applied; a failed image never is."""
    counting = effective_verdicts(verdicts)
    return [
        image_id
        for image_id, status in statuses.items()
        if status != "failed"
        and (counting[image_id].status if image_id in counting else status) == "accepted"
    ]


def _statuses(bank: Path, shards: Sequence[ShardRecord]) -> dict[int, str]:
    statuses: dict[int, str] = {}
    for shard in shards:
        path = shard_folder(bank, shard) / shard.images.name
        table = read_table(path, ["image_id", "status"])
        statuses |= zip(table["image_id"].to_pylist(), table["status"].to_pylist(), strict=True)
    return statuses


def _joined(parts: Sequence[ShardFeatures]) -> ShardFeatures:
    return ShardFeatures(
        embeddings=np.concatenate([part.embeddings for part in parts]),
        feature_id=np.concatenate([part.feature_id for part in parts]),
        image_id=np.concatenate([part.image_id for part in parts]),
        role=np.concatenate([part.role for part in parts]),
    )
