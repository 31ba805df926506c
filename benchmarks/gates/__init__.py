"""What the miniature stack must reach, one module a model; see `benchmarks.gates.miniature`."""
