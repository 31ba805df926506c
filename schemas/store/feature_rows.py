"""The features of accepted images out of the shards, shard by shard, in the index's order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import BankDamaged
from schemas.ids import FOREGROUND, ROLES, SOURCES, unpack_feature_ids
from schemas.records import ShardRecord
from schemas.store.index import index_order
from schemas.store.parquet import read_table
from schemas.store.shards import read_features, shard_folder
from schemas.store.verdicts import Verdict

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Which features a bank has; their embeddings stay on the disk.

    bank: its folder. shards: those that have them, by ascending image_id. dimension: length of the
    embeddings. feature_id: (n,) int64 in `index_order`.
    """

    bank: Path
    shards: tuple[ShardRecord, ...]
    dimension: int
    feature_id: npt.NDArray[np.int64]

    @classmethod
    def accepted(
        cls,
        bank: Path,
        shards: Iterable[ShardRecord],
        verdicts: Mapping[int, Verdict],
        dimension: int,
    ) -> FeatureRows:
        """Those of the images that are accepted; reads facts and ids alone.

        shards: of the categories that were not removed. verdicts: those that count, by image_id
        (`schemas.store.verdicts.effective_verdicts`).

        Raises BankDamaged where a file is not what was written.
        """
        ordered = sorted(
            shards, key=lambda one: (one.category_id, SOURCES.index(one.source), one.start)
        )
        found = [np.empty(0, np.int64)]
        for shard in ordered:
            images = _accepted_images(bank, shard, verdicts)
            feature_id, image_id = _ids(shard_folder(bank, shard) / shard.features.name)
            found.append(feature_id[np.isin(image_id, images)])
        feature_ids = np.concatenate(found)
        return cls(bank, tuple(ordered), dimension, feature_ids[index_order(feature_ids)])

    @property
    def foreground_images(self) -> npt.NDArray[np.int64]:
        """The image_ids of the foreground features, ascending; they come first in the order."""
        image_id, role = unpack_feature_ids(self.feature_id)
        images: npt.NDArray[np.int64] = image_id[role == FOREGROUND]
        return images

    def blocks(self) -> Iterator[Float32Array]:
        """The embeddings in their order, (any, dimension) float32 at a time, of one shard and role.

        Raises BankDamaged if a shard's are of another length, or not in the order of their ids.
        """
        row = 0
        for role in range(len(ROLES)):
            for shard in self.shards:
                part = read_features(self.bank, shard)
                if part.embeddings.shape[1] != self.dimension:
                    raise BankDamaged(
                        f"{self._path(shard)}: expected embeddings of length {self.dimension}, "
                        f"found {part.embeddings.shape[1]}"
                    )
                own = self.feature_id[row : row + len(part.feature_id)]
                rows = np.flatnonzero((part.role == role) & np.isin(part.feature_id, own))
                if not np.array_equal(part.feature_id[rows], own[: len(rows)]):
                    raise BankDamaged(
                        f"{self._path(shard)}: expected features in the order of their ids"
                    )
                row += len(rows)
                yield part.embeddings[rows]
        if row != len(self.feature_id):
            raise BankDamaged(
                f"{self.bank}: expected {len(self.feature_id)} features in the shards, found {row}"
            )

    def _path(self, shard: ShardRecord) -> Path:
        return shard_folder(self.bank, shard) / shard.features.name


def _ids(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The (n,) feature_ids and image_ids in a shard's file."""
    table = read_table(path, ["feature_id"])
    if table.schema.names != ["feature_id"] or table.schema.types != [pa.int64()]:
        raise BankDamaged(f"{path}: expected a column of feature_ids, found none")
    feature_id = table["feature_id"].to_numpy()
    try:
        return feature_id, unpack_feature_ids(feature_id)[0]
    except ValueError as error:
        raise BankDamaged(f"{path}: {error}") from error


def _accepted_images(
    bank: Path, shard: ShardRecord, verdicts: Mapping[int, Verdict]
) -> npt.NDArray[np.int64]:
    """The shard's images that are accepted once the verdicts are applied; a failed one never is."""
    table = read_table(shard_folder(bank, shard) / shard.images.name, ["image_id", "status"])
    rows = zip(table["image_id"].to_pylist(), table["status"].to_pylist(), strict=True)
    accepted = [
        image_id
        for image_id, status in rows
        if status != "failed"
        and (verdicts[image_id].status if image_id in verdicts else status) == "accepted"
    ]
    return np.array(accepted, np.int64)
