"""Shards: what one is, writing one, finding and reading them; the parts lie in two modules."""

from __future__ import annotations

from schemas.records import ShardRecord
from schemas.store.shard_reader import (
    SHARD_NAME,
    ShardFeatures,
    ShardSpec,
    dataset,
    find_shard,
    finished_folders,
    read_features,
    read_sidecar,
    remove_unfinished,
    shard_folder,
    shards_folder,
    sidecar_path,
    verify_sidecar,
    write_sidecar,
)
from schemas.store.shard_writer import ShardWriter, write_shard

__all__ = [
    "SHARD_NAME",
    "ShardFeatures",
    "ShardRecord",
    "ShardSpec",
    "ShardWriter",
    "dataset",
    "find_shard",
    "finished_folders",
    "read_features",
    "read_sidecar",
    "remove_unfinished",
    "shard_folder",
    "shards_folder",
    "sidecar_path",
    "verify_sidecar",
    "write_shard",
    "write_sidecar",
]
