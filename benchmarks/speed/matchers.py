"""What naming one photo's regions takes with each matcher, over a bank of ADE-847's size.

    python -m benchmarks.speed.matchers [--categories 847] [--references 50] [--regions 100] [--json FILE]

Features are random directions, one bunch a category; regions are references with noise. "first" is
the first call, which makes the means (for knn: nothing); all ways are then timed in turns.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

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
class Row:
    """One matcher: seconds of its first call and the median of the others."""

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
    """Each matcher by its name, to be made when it is asked for the first time."""
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


def measure(features: BankFeatures, regions: NDArray[np.float32], rounds: int) -> list[Row]:
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
    return [Row(name, first[name], median(seconds[name])) for name in made]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--categories", type=int, default=847)
    parser.add_argument("--references", type=int, default=50, help="of each category")
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--regions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    features, hubs = synthetic_bank(arguments.categories, arguments.references, arguments.dimension)
    rng = np.random.default_rng(1)
    regions = _around(hubs[rng.integers(len(hubs), size=arguments.regions)], rng)
    rows = measure(features, regions, arguments.rounds)
    console = Console()
    console.print(
        f"{arguments.regions} regions, {arguments.categories} categories x "
        f"{arguments.references} references, d = {arguments.dimension}"
    )
    table = Table()
    table.add_column("matcher")
    table.add_column("first, ms", justify="right")
    table.add_column("then, ms", justify="right")
    for row in rows:
        table.add_row(row.matcher, f"{row.first * 1e3:.0f}", f"{row.seconds * 1e3:.0f}")
    console.print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def _around(hubs: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Each direction (n, d) with noise of about `_SPREAD` times its length."""
    noise = rng.standard_normal(hubs.shape, dtype=np.float32)
    return _unit(hubs + np.float32(_SPREAD / np.sqrt(hubs.shape[1])) * noise)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


if __name__ == "__main__":
    main()
