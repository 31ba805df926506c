"""The files of a bank: shards, index, manifests and locks."""
