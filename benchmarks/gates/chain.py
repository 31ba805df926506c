"""The chain's gate, and where its mIoU is lost: each stage in turn replaced by the truth.

Rows, all over the same fresh scenes and scored in one confusion matrix each:

- whole chain: SAM's regions, the bank's references; what `rim eval` scores.
- true regions: regions from the ground truth, the bank's references.
- true reference masks: SAM's regions, the bank's images under the judge's masks.
- world's own images: SAM's regions, references pooled from the world's own single images under
  their true masks, as many a category as the bank has accepted.
- true regions and world's own images: what features and matcher alone lose.
- CLIP's text: SAM's regions classified by similarity to "a photo of a ..." (the cross-modal
  baseline), each cut out, or as the square around it with all that is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

import rim
from benchmarks.accuracy.classes import Classes, group_means
from benchmarks.accuracy.references import judged_references, world_references
from benchmarks.accuracy.scenes import cut_along, true_regions
from benchmarks.accuracy.text_baseline import cut_outs, squares, text_labels
from benchmarks.gate import Gate, Measured
from benchmarks.gates.sheet import Tile, TileRow, draw_sheet, enlarged
from foundation.stack import ModelStack
from miniature.training.judge import Judge
from miniature.world import CATEGORIES, draw_scene
from query.classification import Classifier
from query.labelling import PhotoLabeller
from query.overlay import draw_overlay
from query.text_similarity import TextSimilarity
from rim.evaluation.datasets.miniature import evaluation_seed
from rim.evaluation.scores import ConfusionMatrix
from schemas.store.bank import BankFeatures

_SHEET_SEED = 3
_NO_THRESHOLD = ("matching.background=none",)
_SIDE = 128

WHOLE = "whole chain"
TRUE_REGIONS = "true regions"
TRUE_MASKS = "true reference masks"
WORLD = "world's own images"
BOTH = "true regions and world's own images"
CUT_OUT = "by CLIP's text, cut out"
SQUARE = "by CLIP's text, square around"
ROWS = (WHOLE, TRUE_REGIONS, TRUE_MASKS, WORLD, BOTH, CUT_OUT, SQUARE)


def chain_gates(
    bank: rim.Bank,
    model: Judge,
    *,
    scenes: int = 200,
    seed: int = 1,
    on_scene: Callable[[], None] = lambda: None,
) -> Measured:
    """Measures all rows over `scenes` fresh scenes; `model` masks the bank's images.

    Regions are classified with the bank's own settings throughout, but without the threshold for
    "none of these": the vocabulary is complete.
    """
    engine = bank.engine(overrides=_NO_THRESHOLD, offline=True)
    stack = ModelStack(bank.settings, "auto", True)
    matching = bank.query_settings(None, _NO_THRESHOLD).matching

    def labeller(references: BankFeatures) -> PhotoLabeller:
        return PhotoLabeller(Classifier(references, matching), matching)

    in_bank = labeller(bank.features())
    judged = labeller(judged_references(bank, stack, model))
    in_world = labeller(world_references(bank, stack))
    text = TextSimilarity(stack.text_image, bank.categories, bank.settings.generation)
    ids = in_bank.classifier.candidates(None)
    classes = Classes.closed(bank.categories)
    matrices = {row: ConfusionMatrix(len(classes.names)) for row in ROWS}
    for scene in (draw_scene(evaluation_seed(seed, number)) for number in range(scenes)):
        photo = engine.cut(scene.image)
        truth = cut_along(scene.image, photo.tokens, true_regions(scene))
        own = engine.label(photo).label_map
        labelled = {
            WHOLE: own,
            TRUE_REGIONS: in_bank.label(truth)[1],
            TRUE_MASKS: judged.label(photo)[1],
            WORLD: in_world.label(photo)[1],
            BOTH: in_world.label(truth)[1],
        }
        for row, crops in ((CUT_OUT, cut_outs(photo)), (SQUARE, squares(photo))):
            labelled[row] = text_labels(photo, crops, text, ids, matching.overlap, own)
        for row, labels in labelled.items():
            matrices[row].update(classes.of_category[labels], classes.of_truth[scene.labels])
        on_scene()
    scores = {row: matrix.scores(classes.names) for row, matrix in matrices.items()}
    table = {row: group_means(one) for row, one in scores.items()}
    return Measured(tuple(_gates(table)), table | {"IoU": dict(scores[WHOLE].per_class)})


def _gates(table: dict[str, dict[str, float]]) -> Iterator[Gate]:
    for row in ROWS:
        yield Gate("chain", f"mIoU, {row}", table[row]["mIoU"], 0.7 if row == WHOLE else None)
    lead = table[WHOLE]["mIoU"] - max(table[row]["mIoU"] for row in (CUT_OUT, SQUARE))
    yield Gate("chain", "lead over CLIP's text", lead, 0.1)


def chain_sheet(bank: rim.Bank, scenes: int = 6) -> Image.Image:
    """Draws a few scenes, what they truly show, and how the bank labels them."""
    ids = {record.name: record.category_id for record in bank.categories}
    of_label = np.array([ids.get(name, -1) for name in CATEGORIES] + [-1], np.int32)
    names = {record.category_id: record.name for record in bank.categories}
    engine = bank.engine(overrides=_NO_THRESHOLD, offline=True)
    rows = []
    for number in range(scenes):
        scene = draw_scene(evaluation_seed(_SHEET_SEED, number))
        truth = draw_overlay(scene.image, of_label[scene.labels], names)
        shown = (scene.image, truth, engine.segment(scene.image).overlay())
        captions = ("scene", "truth", "rim")
        rows.append(
            TileRow([Tile(enlarged(p, 2 * _SIDE), c) for p, c in zip(shown, captions, strict=True)])
        )
    half = (scenes + 1) // 2
    return draw_sheet("The chain: fresh scenes, labelled", [rows[:half], rows[half:]])
