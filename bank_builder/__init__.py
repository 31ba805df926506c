"""The offline stage: vocabulary -> prompt -> image -> points -> mask -> shard -> bank."""
