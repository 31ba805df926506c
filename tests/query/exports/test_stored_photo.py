"""Stored results are the results."""

from __future__ import annotations

import numpy as np

from query.exports.stored_photo import StoredPhoto
from tests.query.exports.results import MARK, NAMES, random_result


def test_a_stored_photo_is_the_result() -> None:
    result = random_result(6)
    stored = StoredPhoto.model_validate_json(StoredPhoto.of(result, MARK).model_dump_json())
    again = stored.result(result.image, NAMES, 7)
    np.testing.assert_array_equal(again.label_map, result.label_map)
    assert again.regions == result.regions
    assert (again.category_names, again.bank_version) == (NAMES, 7)
