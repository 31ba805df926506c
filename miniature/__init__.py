"""The miniature world: drawn scenes with exact ground truth; `training` makes the small models."""
