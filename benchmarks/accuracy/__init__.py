"""The parts of `benchmarks.accuracy.ablation`: scenes, sets of references, rows, and their tables."""
