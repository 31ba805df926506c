"""Runs an evaluation: data set, class mapping, labels, counts, scores."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rim.evaluation.class_mapping import ClassMapping, map_classes
from rim.evaluation.comparison_images import ComparisonFolder
from rim.evaluation.counting import ConfusionCounts, count_items
from rim.evaluation.datasets.base import Dataset
from rim.evaluation.datasets.choice import DatasetChoice
from rim.evaluation.datasets.opening import open_dataset
from rim.evaluation.evaluation_folder import evaluation_folder
from rim.evaluation.label_sources import LabelSource
from rim.evaluation.scores import Scores
from schemas.digests import canonical_json, sha256_bytes

STATE_FORMAT = 1


def run_evaluation(
    source: LabelSource,
    choice: DatasetChoice,
    *,
    version: str,
    allow_missing: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
    comparisons: Path | None = None,
    comparisons_count: int = 20,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Scores the labels of a source against a data set, in one confusion matrix.

    Folders and classes are checked before anything is labelled.

    Args:
        source: gives the labels.
        choice: of the data set.
        version: of rim; an evaluation of another version is not continued.
        allow_missing: score also if classes have no category; they score 0.
        out: the folder for counts and results, see `evaluation_folder`; None for none.
        overwrite: replace another evaluation in `out`.
        comparisons: the folder for photo, truth and prediction side by side; None for none.
        comparisons_count: of how many images, the first ones.
        progress: called with the number of images done and of all.

    Raises UsageError as `open_dataset` and `map_classes` do, and if no image can be scored;
    OutputError for both folders.
    """
    dataset = open_dataset(choice, source.categories)
    items = [source.marked(item) for item in dataset.items]
    mapping = map_classes(source.categories, dataset.classes, allow_missing=allow_missing)
    identity = _identity(source, choice, dataset, mapping, version, allow_missing)
    drawn = (
        None
        if comparisons is None
        else ComparisonFolder.open(comparisons, items, comparisons_count, mapping.class_names)
    )
    with contextlib.ExitStack() as stack:
        folder = None
        if out is not None:
            opened = evaluation_folder(
                out, identity, items, len(mapping.class_names), overwrite=overwrite
            )
            folder = stack.enter_context(opened)

        def on_counted(counts: ConfusionCounts, last: bool) -> None:
            if folder is not None:
                folder.save_counts(counts, last)
            if progress is not None and not last:
                progress(len(counts.done) + len(counts.failed), len(items))

        counts = count_items(
            items,
            source.labeller(mapping),
            mapping,
            start=None if folder is None else folder.earlier,
            label_again=frozenset() if drawn is None else drawn.missing(),
            on_labelled=None if drawn is None else drawn.draw,
            on_counted=on_counted,
        )
        scores = counts.scores(mapping)
        if folder is not None:
            folder.save_results(scores, dataset.groups)
    return scores


def _identity(
    source: LabelSource,
    choice: DatasetChoice,
    dataset: Dataset,
    mapping: ClassMapping,
    version: str,
    allow_missing: bool,
) -> dict[str, Any]:
    """All that determines the scores beside the images themselves, as plain JSON data."""
    classes = [[one.name, *one.synonyms] for one in dataset.classes]
    return {
        "format": STATE_FORMAT,
        "rim": version,
        "dataset": choice.identity(),
        "classes": sha256_bytes(canonical_json(classes)),
        "allow_missing": allow_missing,
        **source.identity(mapping),
    }
