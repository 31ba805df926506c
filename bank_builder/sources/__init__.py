"""Where reference images come from: a text-to-image model, or a folder of photos."""
