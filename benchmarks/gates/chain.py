"""The chain's gate, and where its mIoU is lost: each stage in turn replaced by the truth.

Rows, all over the same fresh scenes and scored in one confusion matrix each:

- whole chain: SAM's regions, the bank's references; what `rim eval` scores.
- true regions: regions from the ground truth, the bank's references.
- true reference masks: SAM's regions, the bank's pictures under the judge's masks.
- world's own pictures: SAM's regions, references pooled from the world's own single pictures under
  their true masks, as many a category as the bank has accepted.
- true regions and world's own pictures: what features and matcher alone lose.
- named by CLIP's text: SAM's regions named by similarity to "a photo of a ..." (the cross-modal
  baseline), each cut out, or as the square around it with all that is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import rim
from benchmarks.gates.references import (
    Features,
    Naming,
    bank_references,
    judged_references,
    world_references,
)
from benchmarks.gates.sheet import Row, Tile, draw_sheet, enlarged
from benchmarks.gates.table import Gate, Measured
from foundation.masks import decode_rle
from foundation.pooling import pool_regions
from foundation.stack import ModelStack
from miniature.judge import Judge
from miniature.regions import square_crop
from miniature.world import CATEGORIES, FAMILIAR, NOVEL, STUFF, Scene, draw_scene, plain_caption
from query.label_map import fill_uncovered, paint, paint_order, uncovered_patches
from query.overlay import draw_overlay
from query.scores import ConfusionMatrix
from rim.eval_datasets import evaluation_seed

_SHEET_SEED = 3
_SIDE = 128

Masks = NDArray[np.bool_]
WHOLE = "whole chain"
TRUE_REGIONS = "true regions"
TRUE_MASKS = "true reference masks"
WORLD = "world's own pictures"
BOTH = "true regions and world's own pictures"
CUT_OUT = "named by CLIP's text, cut out"
SQUARE = "named by CLIP's text, square around"
ROWS = (WHOLE, TRUE_REGIONS, TRUE_MASKS, WORLD, BOTH, CUT_OUT, SQUARE)


def true_regions(scene: Scene) -> Masks:
    """(n, H, W): every thing, and every kind of stuff that is to be seen."""
    stuff = [scene.labels == CATEGORIES.index(kind) for kind in scene.stuff]
    masks = np.stack([*(instance.mask for instance in scene.instances), *stuff])
    return masks[masks.any((1, 2))]


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


def chain_gates(
    bank: rim.Bank,
    model: Judge,
    *,
    scenes: int = 200,
    seed: int = 1,
    on_scene: Callable[[], None] = lambda: None,
) -> Measured:
    """All rows over `scenes` fresh scenes; `model` masks the bank's pictures."""
    engine = bank.engine(offline=True)
    stack = ModelStack(bank.settings, "auto", True)
    neighbours = bank.settings.matching.neighbours
    in_bank = Naming(*bank_references(bank), neighbours)
    counts = {CATEGORIES[i]: int(n) for i, n in enumerate(np.bincount(in_bank.labels))}
    judged = Naming(*judged_references(bank, stack, model), neighbours)
    in_world = Naming(*world_references(stack, counts), neighbours)
    texts = stack.text_image.embed_texts([plain_caption(name) for name in CATEGORIES])
    names = {record.category_id: CATEGORIES.index(record.name) for record in bank.categories}
    matrices = {row: ConfusionMatrix(len(CATEGORIES)) for row in ROWS}
    for scene in (draw_scene(evaluation_seed(seed, number)) for number in range(scenes)):
        result = engine.segment(scene.image)
        own = np.vectorize(lambda i: names.get(int(i), -1))(result.label_map)
        matrices[WHOLE].update(own, scene.labels)
        tokens = stack.features.extract([scene.image])[0]
        found = np.stack([decode_rle(region.rle) for region in result.regions])
        truth = true_regions(scene)
        for row, masks, naming in (
            (TRUE_REGIONS, truth, in_bank),
            (TRUE_MASKS, found, judged),
            (WORLD, found, in_world),
            (BOTH, truth, in_world),
        ):
            features, valid = pool_regions(tokens, masks)
            labels, scores = naming(features[valid])
            predicted = label_map(masks[valid], labels, scores, tokens, naming)
            matrices[row].update(predicted, scene.labels)
        squares = [square_crop(scene.image, mask) for mask in found]
        for row, pictures in ((CUT_OUT, cut_outs(scene.image, found)), (SQUARE, squares)):
            cosine = stack.text_image.embed_images(pictures) @ texts.T
            predicted = label_map(found, cosine.argmax(1), cosine.max(1), tokens, in_bank)
            matrices[row].update(predicted, scene.labels)
        on_scene()
    table = {row: group_means(matrix) for row, matrix in matrices.items()}
    return Measured(tuple(_gates(table)), table | {"IoU": _per_class(matrices[WHOLE])})


def _gates(table: dict[str, dict[str, float]]) -> Iterator[Gate]:
    for row in ROWS:
        yield Gate("chain", f"mIoU, {row}", table[row]["mIoU"], 0.7 if row == WHOLE else None)
    lead = table[WHOLE]["mIoU"] - max(table[row]["mIoU"] for row in (CUT_OUT, SQUARE))
    yield Gate("chain", "lead over CLIP's text", lead, 0.1)


def _per_class(matrix: ConfusionMatrix) -> dict[str, float]:
    return dict(matrix.scores(CATEGORIES).per_class)


def chain_sheet(bank: rim.Bank, scenes: int = 6) -> Image.Image:
    """A few scenes, what they truly show, and what the bank makes of them."""
    ids = {record.name: record.category_id for record in bank.categories}
    of_label = np.array([ids.get(name, -1) for name in CATEGORIES] + [-1], np.int32)
    names = {record.category_id: record.name for record in bank.categories}
    engine = bank.engine(offline=True)
    rows = []
    for number in range(scenes):
        scene = draw_scene(evaluation_seed(_SHEET_SEED, number))
        truth = draw_overlay(scene.image, of_label[scene.labels], names)
        shown = (scene.image, truth, engine.segment(scene.image).overlay())
        captions = ("scene", "truth", "rim")
        rows.append(
            Row([Tile(enlarged(p, 2 * _SIDE), c) for p, c in zip(shown, captions, strict=True)])
        )
    half = (scenes + 1) // 2
    return draw_sheet("The chain: fresh scenes, labelled", [rows[:half], rows[half:]])
