"""Where the weights of models come from: the hub, checkpoints, folders, and the cache."""
