"""Ids are packed from category, source and number, and can be taken apart again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import (
    MAX_CATEGORY_ID,
    MAX_NUMBER,
    ROLES,
    SOURCES,
    ImageKey,
    pack_feature_id,
    pack_image_id,
    unpack_feature_ids,
    unpack_image_id,
    unpack_image_ids,
)

keys = st.builds(
    ImageKey,
    st.integers(0, MAX_CATEGORY_ID),
    st.sampled_from(SOURCES),
    st.integers(0, MAX_NUMBER),
)


def test_layout_is_the_documented_one() -> None:
    assert pack_image_id(3, "folder", 5) == 3 << 24 | 1 << 20 | 5
    assert pack_feature_id(7, ROLES.index("background")) == 15


@given(keys, st.integers(0, 1))
def test_packing_is_reversible_and_fits_into_int64(key: ImageKey, role: int) -> None:
    image_id = pack_image_id(key.category_id, key.source, key.number)
    feature_id = pack_feature_id(image_id, role)
    assert unpack_image_id(image_id) == key
    assert [one.item() for one in unpack_feature_ids(feature_id)] == [image_id, role]
    assert 0 <= feature_id <= np.iinfo(np.int64).max


@given(st.lists(keys))
def test_arrays_are_unpacked_as_single_ids_are(many: list[ImageKey]) -> None:
    image_ids = np.array(
        [pack_image_id(key.category_id, key.source, key.number) for key in many], np.int64
    )
    unpacked = unpack_image_ids(image_ids)
    assert unpacked.category_id.tolist() == [key.category_id for key in many]
    assert unpacked.source_code.tolist() == [SOURCES.index(key.source) for key in many]
    assert unpacked.number.tolist() == [key.number for key in many]
    back, role = unpack_feature_ids(image_ids << 1 | 1)
    assert back.tolist() == image_ids.tolist()
    assert role.tolist() == [1] * len(many)


@pytest.mark.parametrize(
    ("category_id", "source", "number", "message"),
    [
        (-1, "diffusion", 0, "category_id"),
        (MAX_CATEGORY_ID + 1, "diffusion", 0, "category_id"),
        (0, "camera", 0, "source out of diffusion, folder"),
        (0, "diffusion", MAX_NUMBER + 1, "number"),
    ],
)
def test_out_of_range(category_id: int, source: str, number: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack_image_id(category_id, source, number)


def test_ids_that_no_image_has() -> None:
    with pytest.raises(ValueError, match="source code 15"):
        unpack_image_id(15 << 20)
    with pytest.raises(ValueError, match="source code 15"):
        unpack_image_ids([0, 15 << 20])
    with pytest.raises(ValueError, match="image_ids from 0"):
        unpack_image_ids([-1])
    with pytest.raises(ValueError, match="integer"):
        unpack_feature_ids([0.5])
