"""Accuracy on the drawn world: `ablation`, `rejection` and `large_masks` are programs."""
