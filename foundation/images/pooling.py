"""Region features: patch tokens averaged under masks. The same code serves both stages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.errors import ImageError

_SMALLEST_NORM = 1e-12


def patch_coverage(mask: npt.NDArray[np.bool_], grid: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The fraction of every patch's area that a mask covers.

    The patches form a regular grid over the whole mask. A pixel cut by a patch's edge counts with
    the part of its area that lies inside, so the fractions are exact for any two sizes, also where
    the mask has fewer pixels than the grid has patches.

    Args:
        mask: bool (H, W).
        grid: (gh, gw), number of patches down and across.

    Returns:
        float32 (gh, gw) in [0, 1].

    Raises:
        ImageError: the mask has no pixels, or the grid no patches.
    """
    height, width = mask.shape
    if min(height, width, *grid) < 1:
        raise ImageError(
            f"expected a mask and a grid of at least 1 x 1, found {mask.shape}, {grid}"
        )
    rows = patch_overlap(height, grid[0])
    columns = patch_overlap(width, grid[1])
    covered: npt.NDArray[np.float32] = rows @ mask.astype(np.float32) @ columns.T
    return covered.clip(0, 1)


def pool_regions(
    tokens: npt.NDArray[np.float32], masks: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """One feature a region: the mean of the patch tokens, weighted by the mask's coverage.

    Regions live in the space of DINOv2 patch features [RIM, CVPR 2024]; the weighting by coverage
    is this project's choice.

    Args:
        tokens: float32 (gh, gw, d), the patch tokens of one image.
        masks: bool (n, H, W), regions of the same image at any resolution.

    Returns:
        float32 (n, d), L2-normalised rows, and bool (n,): False where there is no feature (an
        empty mask, or tokens that cancel out); those rows are zero.
    """
    grid_height, grid_width, dimension = tokens.shape
    if len(masks) == 0:
        return np.zeros((0, dimension), np.float32), np.zeros(0, np.bool_)
    coverage = [patch_coverage(mask, (grid_height, grid_width)) for mask in masks]
    return pool_coverages(tokens, np.stack(coverage))


def pool_coverages(
    tokens: npt.NDArray[np.float32], coverages: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """As `pool_regions`, from the fraction of every patch that each region covers.

    Args:
        tokens: float32 (gh, gw, d).
        coverages: float32 (n, gh, gw) in [0, 1].

    Returns:
        float32 (n, d) and bool (n,), see `pool_regions`.
    """
    height, width, dimension = tokens.shape
    weights = coverages.reshape(len(coverages), height * width)
    area = weights.sum(axis=1, keepdims=True)
    means = weights @ tokens.reshape(-1, dimension) / np.where(area > 0, area, 1)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    valid = (area > 0) & (norms > _SMALLEST_NORM)
    features = np.where(valid, means / np.where(valid, norms, 1), 0)
    return features.astype(np.float32), valid[:, 0]


def patch_overlap(pixels: int, patches: int) -> npt.NDArray[np.float32]:
    """float32 (patches, pixels): the share of each patch's length that lies inside each pixel."""
    edges = np.arange(patches + 1) * (pixels / patches)
    left = np.maximum(edges[:-1, None], np.arange(pixels))
    right = np.minimum(edges[1:, None], np.arange(1, pixels + 1))
    shares: npt.NDArray[np.float32] = (np.clip(right - left, 0, None) * (patches / pixels)).astype(
        np.float32
    )
    return shares
