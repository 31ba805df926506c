"""Shards: what one is, writing one, finding and reading them; the parts lie in two modules."""

from __future__ import annotations

from schemas.records import ShardRecord
from schemas.shard_reader import (
    ShardFeatures,
    ShardSpec,
    dataset,
    find_shard,
    read_features,
    read_sidecar,
    remove_unfinished,
    shard_folder,
    shards_folder,
    verify_shard,
)
from schemas.shard_writer import ShardWriter, write_shard

__all__ = [
    "ShardFeatures",
    "ShardRecord",
    "ShardSpec",
    "ShardWriter",
    "dataset",
    "find_shard",
    "read_features",
    "read_sidecar",
    "remove_unfinished",
    "shard_folder",
    "shards_folder",
    "verify_shard",
    "write_shard",
]
