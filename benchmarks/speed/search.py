"""Nearest-neighbour search for one photo's regions: rim's index, FAISS as it comes, numpy.

FAISS compares vectors one by one while queries x dimension < 128,000, exactly where the regions of
one photo lie; rim's index always takes the matrix product. All three are timed in turns in one run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from schemas.store.index import FeatureIndex, build_index


def _numpy_search(
    embeddings: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> NDArray[np.float32]:
    similarity = queries @ embeddings.T
    best = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    return -np.sort(-np.take_along_axis(similarity, best, 1), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=847 * 50)
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--regions", type=int, default=64)
    parser.add_argument("--neighbours", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((arguments.references, arguments.dimension), dtype=np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    queries = embeddings[: arguments.regions] + 0.01
    default_threshold = faiss.cvar.distance_compute_blas_threshold
    stock = faiss.IndexFlatIP(arguments.dimension)
    stock.add(embeddings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.faiss"
        record = build_index(path, embeddings, np.arange(arguments.references))
        ours = FeatureIndex.load(path, record)

    k = arguments.neighbours

    def run_stock() -> NDArray[np.float32]:
        faiss.cvar.distance_compute_blas_threshold = default_threshold
        similarity: NDArray[np.float32] = stock.search(queries, k)[0]
        return similarity

    def run_ours() -> NDArray[np.float32]:
        faiss.cvar.distance_compute_blas_threshold = 1
        return ours.search(queries, k)[0]

    ways: dict[str, Callable[[], NDArray[np.float32]]] = {
        "FAISS as it comes": run_stock,
        "numpy": lambda: _numpy_search(embeddings, queries, k),
        "rim": run_ours,
    }
    results = {name: search() for name, search in ways.items()}
    for name, similarity in results.items():
        difference = float(np.abs(similarity - results["numpy"]).max())
        if difference > 1e-4:
            raise SystemExit(f"{name} differs from numpy by {difference}")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, search in ways.items():
            started = time.perf_counter()
            search()
            seconds[name].append(time.perf_counter() - started)
    base = float(np.median(seconds["rim"]))
    print(
        f"{arguments.regions} regions, {arguments.references} references,"
        f" d = {arguments.dimension}, k = {k}"
    )
    for name, times in seconds.items():
        median = float(np.median(times))
        print(f"{name:20s} {median * 1e3:8.1f} ms   {median / base:6.2f} x rim")


if __name__ == "__main__":
    main()
