"""Where the miniature chain loses its mIoU: each stage in turn replaced by the world's own truth.

Rows, all over the same fresh scenes and scored in one confusion matrix each:

- chain: SAM's regions, the bank's references; what `rim eval` scores.
- true regions: regions from the ground truth, the bank's references.
- true references: SAM's regions, references pooled from the world's own single pictures under their
  true masks, as many a category as the bank has accepted.
- both true: what features and matcher alone lose.
- text: SAM's regions, each cut out and named by CLIP's similarity to "a photo of a ..." (the
  cross-modal baseline).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import rim
from foundation.masks import decode_rle
from foundation.pooling import pool_regions
from foundation.stack import ModelStack
from miniature.train_clip import plain_caption
from miniature.world import CATEGORIES, FAMILIAR, NOVEL, STUFF, Scene, draw_scene, draw_single
from query.label_map import fill_uncovered, paint, paint_order, uncovered_patches
from query.scores import ConfusionMatrix
from rim.eval_datasets import evaluation_seed

Masks = NDArray[np.bool_]
Features = NDArray[np.float32]
_REFERENCE_SEED = 5_000_000_000  # neither trained on nor scored


@dataclass(frozen=True)
class Naming:
    """Names features (n, d) by a vote of the k nearest references, as `query.matchers.knn`."""

    references: Features
    labels: NDArray[np.int64]
    neighbours: int

    def __call__(self, features: Features) -> tuple[NDArray[np.int64], Features]:
        cosine = features @ self.references.T
        nearest = np.argsort(-cosine, axis=1)[:, : self.neighbours]
        votes = np.zeros((len(features), len(CATEGORIES)), np.float32)
        np.add.at(
            votes,
            (np.arange(len(features))[:, None], self.labels[nearest]),
            (1 + np.take_along_axis(cosine, nearest, 1)) / 2,
        )
        return votes.argmax(1), votes.max(1) / self.neighbours


def true_regions(scene: Scene) -> Masks:
    """(n, H, W): every thing, and every kind of stuff that is to be seen."""
    stuff = [scene.labels == CATEGORIES.index(kind) for kind in scene.stuff]
    masks = np.stack([*(instance.mask for instance in scene.instances), *stuff])
    return masks[masks.any((1, 2))]


def world_references(
    stack: ModelStack, counts: dict[str, int]
) -> tuple[Features, NDArray[np.int64]]:
    """Features (n, d) of single pictures under their true masks, and their labels (n,)."""
    features, labels = [], []
    for label, name in enumerate(CATEGORIES):
        for number in range(counts.get(name, 0)):
            scene = draw_single(_REFERENCE_SEED + number, name, (64, 64))
            tokens = stack.features.extract([scene.image])[0]
            pooled, valid = pool_regions(tokens, (scene.labels == label)[None])
            if valid[0]:
                features.append(pooled[0])
                labels.append(label)
    return np.stack(features), np.asarray(labels)


def bank_references(bank: rim.Bank) -> tuple[Features, NDArray[np.int64]]:
    """The bank's foreground features and their labels in the world's order."""
    stored = bank.features()
    foreground = stored.role == 0
    names = {record.category_id: record.name for record in bank.categories}
    labels = [CATEGORIES.index(names[i]) for i in stored.category_id[foreground].tolist()]
    return stored.embeddings[foreground], np.asarray(labels)


def label_map(
    masks: Masks,
    names: NDArray[np.int64],
    scores: Features,
    tokens: NDArray[np.float32],
    name_patches: Callable[[Features], tuple[NDArray[np.int64], Features]],
) -> NDArray[np.int32]:
    """The regions painted as in a query; pixels under none are named by their patch."""
    areas = masks.sum((1, 2))
    ids = names.astype(np.int32)
    order = paint_order(ids, scores, areas)
    labels, covered = paint(masks.shape[1:], ((masks[i], int(ids[i])) for i in order))
    grid = tokens.shape[:2]
    needed = uncovered_patches(covered, (grid[0], grid[1]))
    if not needed.any():
        return labels
    patches = tokens[needed] / np.linalg.norm(tokens[needed], axis=1, keepdims=True)
    patch_labels = np.full(needed.shape, -1, np.int32)
    patch_labels[needed] = name_patches(patches)[0]
    return fill_uncovered(labels, covered, patch_labels)


def cut_outs(image: NDArray[np.uint8], masks: Masks) -> list[NDArray[np.uint8]]:
    """The square around each region, with what lies outside the region in mid grey."""
    pictures = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        alone = np.where(mask[:, :, None], image, 128).astype(np.uint8)
        crop = alone[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        square = np.full((side, side, 3), 128, np.uint8)
        top, left = (side - crop.shape[0]) // 2, (side - crop.shape[1]) // 2
        square[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        pictures.append(square)
    return pictures


def group_means(matrix: ConfusionMatrix) -> dict[str, float]:
    """mIoU over all categories, and over familiar things, novel things and stuff apart."""
    scores = matrix.scores(CATEGORIES)
    groups: dict[str, Sequence[str]] = {"familiar": FAMILIAR, "novel": NOVEL, "stuff": STUFF}
    means = {
        name: float(np.nanmean([scores.per_class[category] for category in group]))
        for name, group in groups.items()
    }
    return {"mIoU": scores.miou, **means}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bank", type=Path, help="a bank of all the world's categories")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the table here")
    arguments = parser.parse_args()

    bank = rim.open(arguments.bank)
    engine = bank.engine(offline=True)
    stack = ModelStack(bank.settings, "auto", True)
    neighbours = bank.settings.matching.neighbours
    in_bank = Naming(*bank_references(bank), neighbours)
    counts = {CATEGORIES[i]: int(n) for i, n in enumerate(np.bincount(in_bank.labels))}
    in_world = Naming(*world_references(stack, counts), neighbours)
    texts = stack.text_image.embed_texts([plain_caption(i) for i in range(len(CATEGORIES))])

    names = {record.category_id: CATEGORIES.index(record.name) for record in bank.categories}
    rows = ("chain", "true regions", "true references", "both true", "text")
    matrices = {row: ConfusionMatrix(len(CATEGORIES)) for row in rows}
    named: dict[str, list[tuple[int, bool]]] = {"true regions": [], "both true": []}
    started = time.monotonic()
    for number in range(arguments.scenes):
        scene = draw_scene(evaluation_seed(arguments.seed, number))
        result = engine.segment(scene.image)
        tokens = stack.features.extract([scene.image])[0]
        matrices["chain"].update(
            np.vectorize(lambda i: names.get(int(i), -1))(result.label_map), scene.labels
        )
        found = np.stack([decode_rle(region.rle) for region in result.regions])
        truth = true_regions(scene)
        for row, masks, naming in (
            ("true regions", truth, in_bank),
            ("true references", found, in_world),
            ("both true", truth, in_world),
        ):
            features, valid = pool_regions(tokens, masks)
            labels, scores = naming(features[valid])
            predicted = label_map(masks[valid], labels, scores, tokens, naming)
            matrices[row].update(predicted, scene.labels)
            if row in named:
                right = [
                    int(np.bincount(scene.labels[mask] + 1).argmax()) - 1 for mask in masks[valid]
                ]
                named[row] += [(r, r == p) for r, p in zip(right, labels.tolist(), strict=True)]
        similarity = stack.text_image.embed_images(cut_outs(scene.image, found)) @ texts.T
        predicted = label_map(found, similarity.argmax(1), similarity.max(1), tokens, in_bank)
        matrices["text"].update(predicted, scene.labels)

    table = {row: group_means(matrix) for row, matrix in matrices.items()}
    print(f"{arguments.scenes} scenes, {time.monotonic() - started:.0f} s")
    print(f"{'':16s}" + "".join(f"{name:>10s}" for name in table["chain"]))
    for row, means in table.items():
        print(f"{row:16s}" + "".join(f"{value:10.3f}" for value in means.values()))
    for row, outcomes in named.items():
        print(f"regions named right, {row}: " + _shares(outcomes))
    per_class = matrices["chain"].scores(CATEGORIES).per_class
    print("chain, IoU: " + ", ".join(f"{name} {iou:.2f}" for name, iou in per_class.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def _shares(outcomes: list[tuple[int, bool]]) -> str:
    parts = []
    for name, group in (("familiar", FAMILIAR), ("novel", NOVEL), ("stuff", STUFF)):
        right = [ok for label, ok in outcomes if CATEGORIES[label] in group]
        parts.append(f"{name} {np.mean(right):.3f}")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
