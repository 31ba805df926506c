"""The folder of an evaluation: counts with which it goes on after an interrupt, and results."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rim.evaluation.counting import ConfusionCounts
from rim.evaluation.datasets.base import Item
from rim.evaluation.scores import ClassScores, Scores, or_none
from schemas.digests import canonical_json
from schemas.errors import OutputError
from schemas.settings import differences
from schemas.store.files import write_atomic
from schemas.store.lock import build_lock
from schemas.store.manifests import manifests_folder
from schemas.store.parquet import parquet_bytes
from schemas.text import cut, printable

STATE = "state.npz"
RESULTS = "results.json"
PER_CLASS = "per_class.parquet"
SECONDS_BETWEEN_WRITES = 1.0

Identity = Mapping[str, Any]
"""All that determines the scores beside the images themselves, as plain JSON data."""


@dataclass
class EvaluationFolder:
    """An open folder; no other process evaluates into it at the same time.

    Attributes:
        path: the folder.
        identity: of this evaluation.
        earlier: the counts of an earlier run of the same evaluation, or None.
    """

    path: Path
    identity: Identity
    earlier: ConfusionCounts | None
    _written: float = field(default=0.0, init=False)

    def save_counts(self, counts: ConfusionCounts, last: bool) -> None:
        """Writes the counts, whole or not at all; between images at most once a second.

        Raises OutputError if it cannot be written.
        """
        now = time.monotonic()
        if not last and now - self._written < SECONDS_BETWEEN_WRITES:
            return
        if not counts.done:
            return
        self._write(STATE, _encode(self.identity, counts))
        self._written = time.monotonic()

    def save_results(self, scores: Scores, groups: Sequence[str]) -> None:
        """Writes `results.json` and `per_class.parquet`; groups: by class, or empty."""
        results = {"evaluation": self.identity, **scores.to_dict()}
        text = json.dumps(results, ensure_ascii=False, allow_nan=False, indent=1)
        self._write(RESULTS, text.encode("utf-8") + b"\n")
        self._write(PER_CLASS, parquet_bytes(per_class_table(scores.classes, groups)))

    def _write(self, name: str, data: bytes) -> None:
        try:
            write_atomic(self.path / name, data)
        except OSError as error:
            raise OutputError(
                f"{self.path / name}: cannot be written ({error.strerror or error})"
            ) from error


@contextlib.contextmanager
def evaluation_folder(
    path: Path, identity: Identity, items: Sequence[Item], num_classes: int, *, overwrite: bool
) -> Iterator[EvaluationFolder]:
    """Opens the folder of an evaluation for this process alone; made if need be.

    Args:
        items: those to score; an earlier run may have counted some of them.
        overwrite: remove the counts and results in the folder first.

    Raises OutputError if the folder holds another evaluation, one of images that have changed or
    are not among `items`, or a damaged state; if another process writes into it; if it cannot be
    written.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: expected a folder for the results, found a file")
    if manifests_folder(path).exists():
        raise OutputError(f"{path}: expected a folder for the results, found a bank")
    with build_lock(path):
        if overwrite:
            for name in (STATE, RESULTS, PER_CLASS):
                (path / name).unlink(missing_ok=True)
        found = _read(path / STATE, identity, num_classes)
        if found is not None:
            _check_items(path, found, items)
        yield EvaluationFolder(path, identity, found)


def per_class_table(classes: Sequence[ClassScores], groups: Sequence[str]) -> pa.Table:
    """One row a class, in the order of the labels.

    class TEXT, group TEXT (null without groups), iou DOUBLE and accuracy DOUBLE (null where there
    is nothing to score), truth_pixels BIGINT, predicted_pixels BIGINT, intersection BIGINT,
    missing BOOLEAN.
    """
    group_of: Sequence[str | None] = groups or [None] * len(classes)
    columns = {
        "class": pa.array([one.name for one in classes], pa.string()),
        "group": pa.array(group_of, pa.string()),
        "iou": pa.array([or_none(one.iou) for one in classes], pa.float64()),
        "accuracy": pa.array([or_none(one.accuracy) for one in classes], pa.float64()),
        "truth_pixels": pa.array([one.truth_pixels for one in classes], pa.int64()),
        "predicted_pixels": pa.array([one.predicted_pixels for one in classes], pa.int64()),
        "intersection": pa.array([one.intersection for one in classes], pa.int64()),
        "missing": pa.array([one.missing for one in classes], pa.bool_()),
    }
    return pa.table(columns)


def _encode(identity: Identity, counts: ConfusionCounts) -> bytes:
    """An .npz without pickles: most entries of a large confusion matrix are 0 and left out."""
    rows, columns = np.nonzero(counts.counts)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        identity=np.frombuffer(canonical_json(identity), dtype=np.uint8),
        shape=np.array(counts.counts.shape, dtype=np.int64),
        rows=rows,
        columns=columns,
        counts=counts.counts[rows, columns],
        done=np.frombuffer(canonical_json(list(counts.done.items())), dtype=np.uint8),
    )
    return buffer.getvalue()


def _read(path: Path, identity: Identity, num_classes: int) -> ConfusionCounts | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as state:
            earlier = dict(json.loads(state["identity"].tobytes()))
            done = dict(json.loads(state["done"].tobytes()))
            counts = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
            classes = int(state["shape"][0])
            if classes == num_classes:
                counts[state["rows"], state["columns"]] = state["counts"]
    except Exception as error:  # hostile bytes raise nearly anything
        raise OutputError(
            f"{path}: expected the state of an evaluation, found it damaged ({printable(error)}); "
            "start again with --overwrite"
        ) from error
    difference = _first_difference(identity, earlier)
    if difference is None and classes != num_classes:
        difference = f"{num_classes} classes, found {classes}"
    if difference is not None:
        raise OutputError(
            f"{path.parent} holds another evaluation: expected {difference}; choose another --out, "
            "or --overwrite"
        )
    return ConfusionCounts(counts, done)


def _first_difference(wanted: Identity, found: Identity) -> str | None:
    """The first difference between two identities in words, or None."""
    plain = json.loads(canonical_json(wanted))
    for key, expected, there in differences(plain, found):
        values = (cut(json.dumps(value, ensure_ascii=False)) for value in (expected, there))
        return f"{key} {', found '.join(values)}"
    return None


def _check_items(path: Path, found: ConfusionCounts, items: Sequence[Item]) -> None:
    marks = {item.name: item.mark for item in items}
    beyond = [name for name in found.done if name not in marks]
    if beyond:
        raise OutputError(
            f"{path} holds an evaluation of more images than these {len(items)}, such as "
            f"{beyond[0]}; raise --limit, choose another --out, or --overwrite"
        )
    changed = [name for name, mark in found.done.items() if marks[name] != mark]
    if changed:
        raise OutputError(
            f"{path} holds an evaluation of other files: {changed[0]} has changed since; "
            "choose another --out, or --overwrite"
        )
