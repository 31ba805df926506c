"""The speed of nearest-neighbour search for one photo's regions: rim's index, FAISS, numpy.

    python -m benchmarks.speed.search [--references 42350] [--regions 64] [--json FILE]

FAISS compares vectors one by one while queries x dimension < 128,000, exactly where the regions of
one photo lie; rim's index always takes the matrix product. All three are timed in turns in one run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.command import add_rounds, parser_of, result_table, write_json
from benchmarks.speed.timing import in_turns, median
from schemas.store.index import FeatureIndex, write_index

RIM, STOCK, NUMPY = "rim", "FAISS as it comes", "numpy"
_MOST_DIFFERENCE = 1e-4
_DEVICE = torch.device("cpu")

Search = Callable[[], NDArray[np.float32]]


def searches(
    embeddings: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> dict[str, Search]:
    """Three ways to find the k highest similarities (q, k) of queries (q, d) among (n, d)."""
    default_threshold = faiss.cvar.distance_compute_blas_threshold
    stock = faiss.IndexFlatIP(embeddings.shape[1])
    stock.add(embeddings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.faiss"
        record = write_index(path, [embeddings], np.arange(len(embeddings)), embeddings.shape[1])
        ours = FeatureIndex.load(path, record)

    def by_faiss() -> NDArray[np.float32]:
        faiss.cvar.distance_compute_blas_threshold = default_threshold
        similarity: NDArray[np.float32] = stock.search(queries, k)[0]
        return similarity

    def by_rim() -> NDArray[np.float32]:
        faiss.cvar.distance_compute_blas_threshold = 1
        return ours.search(queries, k)[0]

    def by_numpy() -> NDArray[np.float32]:
        similarity = queries @ embeddings.T
        best = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        return -np.sort(-np.take_along_axis(similarity, best, 1), axis=1)

    return {STOCK: by_faiss, NUMPY: by_numpy, RIM: by_rim}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table; `arguments` are the command line's."""
    parser = parser_of(__doc__)
    add_rounds(parser, 5)
    add = parser.add_argument
    add("--references", type=int, default=847 * 50)
    add("--dimension", type=int, default=1024)
    add("--regions", type=int, default=64)
    add("--neighbours", type=int, default=5)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((options.references, options.dimension), dtype=np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    ways = searches(embeddings, embeddings[: options.regions] + 0.01, options.neighbours)
    # Also warms them up.
    results = {name: search() for name, search in ways.items()}
    for name, similarity in results.items():
        difference = float(np.abs(similarity - results[NUMPY]).max())
        if difference > _MOST_DIFFERENCE:
            raise SystemExit(f"{name} differs from numpy by {difference}")
    seconds = in_turns(ways, options.rounds, _DEVICE)
    title = (
        f"{options.regions} regions, {options.references} references,"
        f" d = {options.dimension}, k = {options.neighbours}"
    )
    medians = {name: median(times) for name, times in seconds.items()}
    rows = [
        (name, f"{time * 1e3:.1f}", f"{time / medians[RIM]:.2f}") for name, time in medians.items()
    ]
    Console().print(result_table(title, ("", "ms", "x rim"), rows))
    write_json(options.json, seconds)


if __name__ == "__main__":
    main()
