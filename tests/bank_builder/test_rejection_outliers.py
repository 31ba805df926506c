"""References that do not look like the rest of their category."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bank_builder.rejection import find_outliers, similarity_to_others


def cluster(n: int, noise: float = 0.3, seed: int = 0) -> NDArray[np.float32]:
    """`n` unit vectors about the first axis of R^16."""
    values = np.random.default_rng(seed).normal(0, noise / 4, (n, 16))
    values[:, 0] += 1
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_the_one_that_points_elsewhere_is_found() -> None:
    features = cluster(20)
    features[7] = np.eye(16, dtype=np.float32)[3]

    (outlier,) = find_outliers(features, mads=6.0)

    assert outlier.position == 7
    assert outlier.reason.startswith("outlier of its category (more than 6 spreads")


def test_an_ordinary_category_has_none() -> None:
    assert find_outliers(cluster(50), mads=6.0) == []


def test_a_smaller_tolerance_finds_more() -> None:
    features = cluster(50, noise=0.6)

    assert len(find_outliers(features, 0.5)) > len(find_outliers(features, 2.0)) > 0


def test_four_images_are_too_few_to_judge() -> None:
    features = cluster(5)
    features[0] = -features[0]

    assert [outlier.position for outlier in find_outliers(features, 3.0)] == [0]
    assert find_outliers(features[:4], 3.0) == []


def test_equal_features_with_one_almost_equal_are_no_outliers() -> None:
    features = np.tile(np.eye(4, dtype=np.float32)[0], (10, 1))
    features[3] = [0.9999, 0.0141, 0, 0]

    assert find_outliers(features, 6.0) == []


def test_a_feature_is_compared_with_the_others_not_with_itself() -> None:
    features = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)

    np.testing.assert_allclose(similarity_to_others(features), [0, 2**-0.5, 2**-0.5], atol=1e-7)


def test_a_rare_kind_in_a_category_of_near_equal_ones_is_no_outlier() -> None:
    features = cluster(40, noise=0.2)
    rare = features[0] + 0.6 * np.eye(16, dtype=np.float32)[5]
    features[0] = rare / np.linalg.norm(rare)
    similarity = similarity_to_others(features)

    spread = np.median(np.abs(similarity - np.median(similarity)))
    assert similarity[0] < np.median(similarity) - 6 * spread
    assert find_outliers(features, 6.0) == []
