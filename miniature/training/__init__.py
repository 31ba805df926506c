"""Training the miniature stack; not in the wheel."""
