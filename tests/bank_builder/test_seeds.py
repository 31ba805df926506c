"""The seed of an image comes from (seed, category, number) alone."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from bank_builder.sources.diffusion import image_seed


def test_a_seed_is_the_first_63_bits_of_the_sha_256_of_its_three_parts() -> None:
    digest = hashlib.sha256(b"7\nfish\n3").hexdigest()

    assert image_seed(7, "fish", 3) == int(digest[:16], 16) >> 1


@given(st.integers(0, 2**63 - 1), st.text(min_size=1), st.integers(0, 2**24 - 1))
def test_a_seed_fits_a_signed_64_bit_column(seed: int, name: str, number: int) -> None:
    assert 0 <= image_seed(seed, name, number) < 2**63


def test_every_part_changes_the_seed() -> None:
    seeds = [image_seed(s, c, n) for s in (0, 1, 11) for c in ("fish", "car") for n in (0, 1, 11)]

    assert len(set(seeds)) == len(seeds)
