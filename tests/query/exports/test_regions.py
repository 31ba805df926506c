"""Regions as `supervision` gets them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from foundation.images.masks import decode_rle
from schemas.errors import UsageError
from tests.query.exports.results import random_result, segmentation


@pytest.mark.filterwarnings("ignore:OpenCV")  # which it would like to have
def test_supervision_gets_the_regions() -> None:
    pytest.importorskip("supervision")
    result = random_result(8)
    found = result.to_supervision()
    assert len(found) == 5
    assert found.mask.dtype == bool
    for i, one in enumerate(result.regions):
        rows, columns = np.nonzero(found.mask[i])
        np.testing.assert_array_equal(found.mask[i], decode_rle(one.rle))
        corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found.xyxy[i].tolist() == corners
        assert found.class_id[i] == one.category_id
        assert found.data["class_name"][i] == one.category
        assert found.confidence[i] == np.float32(one.score)
    np.testing.assert_array_equal(found.area, [one.area for one in result.regions])
    houses = found[found.data["class_name"] == "house"]
    assert set(houses.class_id.tolist()) == {3}
    nothing = segmentation(np.zeros((3, 4))).to_supervision()
    assert (len(nothing), nothing.mask.shape) == (0, (0, 3, 4))


def test_without_supervision_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match=r"pip install \"rim-bank\[supervision\]\""):
        random_result(8).to_supervision()
