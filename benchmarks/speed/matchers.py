"""The speed of classifying one photo's regions with each matcher, at ADE-847's size.

    python -m benchmarks.speed.matchers [--categories 847] [--references 50] [--regions 100]
                                        [--json FILE]

Features are random directions, one bunch a category; regions are references with noise. "first" is
the first call, which makes the means (for knn: nothing); all ways are then timed in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.command import add_rounds, parser_of, result_table, write_json
from benchmarks.speed.timing import in_turns, median, timed
from query.matchers.base import Matcher, References
from query.matchers.knn import KnnMatcher
from query.matchers.prototype import PrototypeMatcher
from query.matchers.ranking import RankingMatcher
from schemas.ids import pack_feature_id, pack_image_id
from schemas.store.bank import BankFeatures
from schemas.store.prototypes import SUBCATEGORIES, derive_prototypes

_SPREAD = 1.0  # noise of a reference around its category, as a fraction of the direction's length
_DEVICE = torch.device("cpu")


@dataclass(frozen=True)
class MatcherTime:
    """Seconds of a matcher's first call, and the median of the others."""

    matcher: str
    first: float
    seconds: float


def synthetic_bank(
    categories: int, references: int, dimension: int, seed: int = 0
) -> tuple[BankFeatures, NDArray[np.float32]]:
    """Foreground features of a bank, and noise-free directions (categories, dimension)."""
    rng = np.random.default_rng(seed)
    hubs = _unit(rng.standard_normal((categories, dimension), dtype=np.float32))
    embeddings = _around(np.repeat(hubs, references, axis=0), rng)
    image_id = np.array(
        [
            pack_image_id(category, "diffusion", number)
            for category in range(categories)
            for number in range(references)
        ],
        np.int64,
    )
    features = BankFeatures(
        embeddings=embeddings,
        feature_id=np.array([pack_feature_id(int(one), 0) for one in image_id], np.int64),
        image_id=image_id,
        category_id=np.repeat(np.arange(categories, dtype=np.int32), references),
        role=np.zeros(len(image_id), np.int8),
    )
    return features, hubs


def make_matchers(features: BankFeatures) -> dict[str, Callable[[], Matcher]]:
    """Functions that make each matcher, by its name."""
    references = References.of(features)
    stored = derive_prototypes(features.embeddings, features.feature_id)
    return {
        "prototype": lambda: PrototypeMatcher(references),
        "prototype, stored means": lambda: PrototypeMatcher(references, stored=stored),
        f"prototype, {SUBCATEGORIES} a category": lambda: PrototypeMatcher(
            references, SUBCATEGORIES
        ),
        f"prototype, {SUBCATEGORIES} stored": lambda: PrototypeMatcher(
            references, SUBCATEGORIES, stored=stored
        ),
        "knn": lambda: KnnMatcher(references),
        "ranking, 5 agents": lambda: RankingMatcher(references, stored=stored),
        "ranking, 6 agents": lambda: RankingMatcher(references, agents=6, stored=stored),
    }


def measure(features: BankFeatures, regions: NDArray[np.float32], rounds: int) -> list[MatcherTime]:
    """Times all matchers on the same regions (r, d)."""
    made: dict[str, Matcher] = {name: make() for name, make in make_matchers(features).items()}
    first = {
        name: timed(lambda matcher=matcher: matcher.match(regions), _DEVICE)  # type: ignore[misc]
        for name, matcher in made.items()
    }
    ways: dict[str, Callable[[], object]] = {
        name: lambda matcher=matcher: matcher.match(regions)  # type: ignore[misc]
        for name, matcher in made.items()
    }
    seconds = in_turns(ways, rounds, _DEVICE)
    return [MatcherTime(name, first[name], median(seconds[name])) for name in made]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table; `arguments` are the command line's."""
    parser = parser_of(__doc__)
    add_rounds(parser, 5)
    add = parser.add_argument
    add("--categories", type=int, default=847)
    add("--references", type=int, default=50, help="of each category")
    add("--dimension", type=int, default=1024)
    add("--regions", type=int, default=100)
    options = parser.parse_args(arguments)
    features, hubs = synthetic_bank(options.categories, options.references, options.dimension)
    rng = np.random.default_rng(1)
    regions = _around(hubs[rng.integers(len(hubs), size=options.regions)], rng)
    rows = measure(features, regions, options.rounds)
    title = (
        f"{options.regions} regions, {options.categories} categories x "
        f"{options.references} references, d = {options.dimension}"
    )
    texts = [(row.matcher, f"{row.first * 1e3:.0f}", f"{row.seconds * 1e3:.0f}") for row in rows]
    Console().print(result_table(title, ("matcher", "first, ms", "then, ms"), texts))
    write_json(options.json, rows)


def _around(hubs: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Each direction (n, d) with noise of about `_SPREAD` times its length."""
    noise = rng.standard_normal(hubs.shape, dtype=np.float32)
    return _unit(hubs + np.float32(_SPREAD / np.sqrt(hubs.shape[1])) * noise)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


if __name__ == "__main__":
    main()
