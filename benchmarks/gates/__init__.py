"""What the miniature stack must reach: `miniature` is the program, the others a model each."""
