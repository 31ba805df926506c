"""Full-size architectures with random weights: what can be proved without the real ones."""
