"""Random logits of masks at a working size, and the same at the photo's size by torch."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from query.enlargement import Enlargement

Size = tuple[int, int]


def smooth_logits(seed: int, count: int, size: Size, sigma: float = 1.5) -> NDArray[np.float32]:
    """(count, *size) float32, about half of it above 0; of several the second is full."""
    random = np.random.default_rng(seed)
    logits = [gaussian_filter(random.standard_normal(size), sigma) for _ in range(count)]
    if count > 2:
        logits[1] = np.ones(size)
    return np.array(logits, np.float32).reshape(count, *size)


def enlarged(logits: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """(n, *size) float32: logits (n, h, w) resized by torch."""
    large = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size, mode="bilinear", align_corners=False
    )
    return np.asarray(large[0].numpy())


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.float32], Enlargement]:
    """Logits (n, h, w) of few or many values, and an enlargement to up to 11 times the size."""
    working = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    size = tuple(side + draw(st.integers(0, 10 * side)) for side in working)
    random = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    logits = random.standard_normal((draw(st.integers(1, 10)), *working))
    if draw(st.booleans()):
        logits = np.rint(logits)  # zeros, and equal values at corners
    return logits.astype(np.float32), Enlargement.of((size[0], size[1]), working)
