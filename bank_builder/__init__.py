"""Offline: vocabulary -> prompt -> image -> points -> mask -> feature -> shard -> bank."""
