"""The parts of `benchmarks.ablation`: scenes, sets of references, rows, and their tables."""
