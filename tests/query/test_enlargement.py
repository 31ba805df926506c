"""Where the pixels of a photo lie between working pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from query.enlargement import Axis, Enlargement
from tests.query.enlarged import cases, enlarged

LENGTHS = [(7, 7), (8, 7), (1000, 128), (5656, 1024), (10_000, 1024), (1999, 1024), (30_000, 1024)]


@pytest.mark.parametrize(("length", "working"), [*LENGTHS, (3, 1), (1, 1)])
def test_pixels_lie_where_torch_interpolates(length: int, working: int) -> None:
    axis = Axis.of(length, working)
    ramp = torch.arange(working, dtype=torch.float32)[None, None]
    places = torch.nn.functional.interpolate(ramp, length, mode="linear", align_corners=False)
    within = axis.fraction[np.isfinite(axis.fraction)]
    found = np.minimum(axis.interval_of + within, working - 1)  # after the last one it stays there
    np.testing.assert_allclose(found, places[0, 0], atol=2e-4)
    np.testing.assert_array_equal(np.repeat(np.arange(working), axis.counts), axis.interval_of)


@given(st.integers(1, 40), st.integers(0, 400))
def test_intervals_are_a_partition_of_the_pixels(working: int, more: int) -> None:
    axis = Axis.of(working + more, working)
    assert (axis.first[0], axis.first[-1]) == (0, working + more)
    assert (axis.counts > 0).all()
    np.testing.assert_array_equal(np.isfinite(axis.fraction).sum(axis=1), axis.counts)
    weights = np.random.default_rng(0).random((3, working + more)).astype(np.float32)
    sums = [weights[:, axis.interval_of == i].sum(axis=1) for i in range(working)]
    np.testing.assert_allclose(axis.of_tiles(weights), np.transpose(sums), rtol=1e-4)


@given(cases())
def test_tiles_are_whole_cut_or_empty(case: tuple[np.ndarray, Enlargement]) -> None:
    """What is told from the corners alone holds for every pixel between them."""
    logits, enlargement = case
    for one, values in zip(logits, enlarged(logits, enlargement.size), strict=True):
        mask = values > 0
        whole, cut = enlargement.corners(one > 0)
        tile = enlargement.rows.interval_of[:, None], enlargement.columns.interval_of
        assert mask[whole[tile]].all()
        assert not mask[~(whole | cut)[tile]].any()
        tiles = np.flatnonzero(cut).astype(np.int32)
        inside = enlargement.pixels_above(one, tiles)
        pixels = enlargement.pixels_of(tiles)
        numbers = enlargement.pixel_numbers(tiles)
        assert sorted(numbers[pixels]) == np.flatnonzero(cut[tile]).tolist()
        assert not inside[~pixels].any()
        theirs = values.reshape(-1)[numbers[pixels]]
        # A logit that is 0 but for rounding may fall to either side.
        assert (((theirs > 0) == inside[pixels]) | (np.abs(theirs) < 1e-5)).all()


def test_equal_sizes_leave_every_pixel_its_own_tile() -> None:
    enlargement = Enlargement.of((5, 7), (5, 7))
    mask = np.random.default_rng(0).random((5, 7)) > 0.5
    whole, cut = enlargement.corners(mask)
    assert not enlargement.enlarges
    np.testing.assert_array_equal(whole, mask)
    assert not cut.any()
