"""The miniature world: drawn scenes with exact ground truth, and the training of the small
models.
"""
