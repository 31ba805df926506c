"""The random seed of one reference image: a function of (seed, category, number), nothing else."""

from __future__ import annotations

import hashlib


def image_seed(seed: int, category_name: str, number: int) -> int:
    """The seed of image `number` of a category, in [0, 2**63).

    The first 63 bits of the SHA-256 of "seed, newline, name, newline, number" in UTF-8. A
    category's name has no control characters, so different triples give different texts. The
    place of the image in a batch, a shard or a vocabulary plays no part [ours].
    """
    text = f"{seed}\n{category_name}\n{number}"
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
