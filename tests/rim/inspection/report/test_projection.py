"""The map's coordinates against scikit-learn, and where there is little to lay out."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from sklearn.decomposition import PCA

from rim.inspection.report import projection
from rim.inspection.report.projection import check_kind, principal_components, project
from schemas.errors import UsageError


def features(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, dimension)) * np.geomspace(3, 0.1, dimension)
    values += 2
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("count", "dimension"), [(200, 16), (12, 40), (3, 5), (50, 2)])
def test_components_are_those_of_scikit_learn(count: int, dimension: int) -> None:
    values = features(count, dimension)

    found = principal_components(values)

    expected = PCA(2, svd_solver="full").fit(values.astype(np.float64))
    theirs = expected.transform(values.astype(np.float64))
    signs = np.sign((found.coordinates * theirs).sum(axis=0))
    np.testing.assert_allclose(found.coordinates, theirs * signs, atol=1e-5)
    np.testing.assert_allclose(found.explained, expected.explained_variance_ratio_, atol=1e-6)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    values = features(100, 8)
    whole = principal_components(values)

    monkeypatch.setattr(projection, "_ROWS_AT_ONCE", 7)

    again = principal_components(values)
    np.testing.assert_allclose(again.coordinates, whole.coordinates, atol=1e-6)


def test_the_sign_is_settled_and_two_runs_agree() -> None:
    values = features(60, 12)
    axes = np.linalg.lstsq(values - values.mean(axis=0), principal_components(values).coordinates)
    largest = np.abs(axes[0]).argmax(axis=0)

    assert (axes[0][largest, [0, 1]] > 0).all()
    assert (principal_components(values).coordinates == project(values, "pca").coordinates).all()


@pytest.mark.parametrize(
    "values",
    [
        np.empty((0, 4), np.float32),
        np.ones((1, 4), np.float32),
        np.ones((5, 4), np.float32),
        np.array([[1], [2], [4]], np.float32),
    ],
)
def test_with_little_to_lay_out_there_are_finite_places(values: np.ndarray) -> None:
    found = project(values, "pca")

    assert found.coordinates.shape == (len(values), 2)
    assert np.isfinite(found.coordinates).all()
    assert found.explained is not None
    assert np.isfinite(found.explained).all()


def test_unknown_and_missing_maps_are_refused() -> None:
    with pytest.raises(UsageError, match="expected a map out of pca, umap, found 'tsne'"):
        check_kind("tsne")
    if importlib.util.find_spec("umap") is None:
        with pytest.raises(UsageError, match="umap-learn"):
            check_kind("umap")
