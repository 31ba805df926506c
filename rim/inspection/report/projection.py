"""Projects features to two dimensions: principal components, or UMAP where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from schemas.errors import UsageError

Kind = Literal["pca", "umap"]
KINDS: Final[tuple[Kind, ...]] = ("pca", "umap")

_ROWS_AT_ONCE = 4096
_SEED = 0
_NEIGHBOURS = 15


@dataclass(frozen=True, eq=False)
class Projection:
    """Points in the plane.

    coordinates: float64 (n, 2). explained: for principal components the share of the features'
    variance along each of the two axes; None for UMAP, whose axes have no such meaning.
    """

    kind: Kind
    coordinates: NDArray[np.float64]
    explained: tuple[float, float] | None


def check_kind(kind: str) -> Kind:
    """Checks that a kind of map can be made here, and returns it.

    Raises UsageError if there is no kind of that name, or if UMAP is not installed.
    """
    if kind == "pca":
        return "pca"
    if kind != "umap":
        raise UsageError(f"expected a map out of {', '.join(KINDS)}, found {kind!r}")
    try:
        import_module("umap")
    except ImportError as error:
        raise UsageError(
            "--map umap wants the package umap-learn, which is not installed; install it, or take "
            "--map pca"
        ) from error
    return "umap"


def project(features: NDArray[np.float32], kind: Kind) -> Projection:
    """Lays features (n, d) out in the plane.

    UMAP has cosine distances and a fixed seed; with too few points for it (3 or fewer) they are
    laid out by principal components.
    """
    if kind == "umap" and len(features) > 3:
        neighbours = min(_NEIGHBOURS, len(features) - 1)
        umap = import_module("umap").UMAP(
            n_neighbors=neighbours, metric="cosine", random_state=_SEED, n_jobs=1
        )
        return Projection("umap", np.asarray(umap.fit_transform(features), np.float64), None)
    return principal_components(features)


def principal_components(features: NDArray[np.float32]) -> Projection:
    """The two directions of largest variance, exactly and without randomness.

    They are the first right singular vectors of the centred features, taken from the singular value
    decomposition of their (d, d) scatter matrix, so that memory does not grow with n: beyond the
    features it is d x d and a block of rows. Each direction is turned so that its largest entry is
    positive, as a sign means nothing. Missing dimensions (n or d too small) are 0.
    """
    count, dimension = features.shape
    coordinates = np.zeros((count, 2))
    if count < 2:
        return Projection("pca", coordinates, (0.0, 0.0))
    blocks = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, count, _ROWS_AT_ONCE)]
    mean = sum(features[block].sum(axis=0, dtype=np.float64) for block in blocks) / count
    scatter = np.zeros((dimension, dimension))
    for block in blocks:
        centred = features[block] - mean
        scatter += centred.T @ centred
    directions, variances, _ = np.linalg.svd(scatter, hermitian=True)
    axes = directions[:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    for block in blocks:
        coordinates[block, : axes.shape[1]] = (features[block] - mean) @ axes
    shares = [*(variances[:2] / max(float(variances.sum()), np.finfo(float).tiny)).tolist(), 0.0]
    return Projection("pca", coordinates, (shares[0], shares[1]))
