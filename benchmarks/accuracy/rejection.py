"""What rejecting wrong references is worth: a bank as it is, and with wrong ones planted in it.

    python -m benchmarks.accuracy.rejection BANK [--planted 0,0.1,0.3] [--scenes N] [--seed S]
                                                 [--json FILE]

BANK is a bank of the miniature world. Planting takes a fraction of every category's references and
deals them out to other categories, so that images of other things stand under its name. Then fresh
scenes are labelled, once with all references and once without those that the builder's own
comparison rejects. Two scores: the share of true regions that are classified rightly, which depends
on references alone, and the mIoU of the whole chain over SAM's regions. The regions are the same
for all rows, since references have no part in them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import rim
from benchmarks.accuracy.classes import Classes
from benchmarks.accuracy.references import Features, selected
from benchmarks.accuracy.scenes import cut_along, true_regions
from benchmarks.accuracy.stored import mask_areas, rejected_images, stored_features
from benchmarks.command import parser_of, result_table, write_json
from miniature.world import CATEGORIES, Scene, draw_scene
from query.classification import Classifier
from query.labelling import PhotoLabeller
from query.regions import SegmentedPhoto
from rim.cli.progress import counter
from rim.evaluation.datasets.miniature import evaluation_seed
from rim.evaluation.scores import ConfusionMatrix
from schemas.ids import FOREGROUND, unpack_image_ids
from schemas.sections import Reference
from schemas.store.bank import BankFeatures

_TRIES = 1000


@dataclass(frozen=True)
class PlantedReferences:
    """Foreground features of a bank before images are compared, some of them planted.

    features: float32 (n, d). image_id: int64 (n,). area: float64 (n,), the mask's share of the
    image. label: int64 (n,), index into CATEGORIES of what the reference stands under. planted:
    bool (n,), whether it shows something else.
    """

    features: Features
    image_id: NDArray[np.int64]
    area: NDArray[np.float64]
    label: NDArray[np.int64]
    planted: NDArray[np.bool_]

    def as_bank_features(self) -> BankFeatures:
        """The same as features of a bank."""
        return BankFeatures(
            embeddings=self.features,
            feature_id=self.image_id << 1 | FOREGROUND,
            image_id=self.image_id,
            category_id=unpack_image_ids(self.image_id).category_id,
            role=np.full(len(self.image_id), FOREGROUND, np.int8),
        )

    def without(self, images: Collection[int]) -> PlantedReferences:
        """The references of all other images."""
        others = ~np.isin(self.image_id, list(images))
        return PlantedReferences(
            self.features[others],
            self.image_id[others],
            self.area[others],
            self.label[others],
            self.planted[others],
        )


@dataclass(frozen=True)
class Row:
    """One measured set of references.

    planted: fraction of all references. references: how many are left. found: fraction of the
    planted ones that are rejected, lost: of the others; both None without rejection (found also
    without planted ones). naming: share of true regions classified rightly. miou: of the whole
    chain. reasons: rejected references by reason, other categories' names left out.
    """

    planted: float
    rejection: bool
    references: int
    found: float | None
    lost: float | None
    naming: float
    miou: float
    reasons: dict[str, int]


@dataclass(frozen=True)
class Case:
    """The references that a row is measured with.

    references: those that are left. reasons: why the others are not, by image_id; None without
    rejection. whole: all of them.
    """

    references: PlantedReferences
    reasons: dict[int, str] | None
    whole: PlantedReferences

    @classmethod
    def judged(
        cls, whole: PlantedReferences, names: Mapping[int, str], settings: Reference
    ) -> Case:
        """The references without those that the builder rejects by comparison.

        names: of the categories, by category_id.
        """
        reasons = rejected_images(whole.features, whole.image_id, whole.area, names, settings)
        return cls(whole.without(reasons), reasons, whole)


def references_before_verdicts(bank: rim.Bank) -> PlantedReferences:
    """The foreground features of the images that their shards accept, whatever the verdicts."""
    stored = stored_features(bank, rejected=False)
    own = selected(stored, stored.role == FOREGROUND)
    areas = mask_areas(bank)
    names = {record.category_id: record.name for record in bank.categories}
    return PlantedReferences(
        own.embeddings,
        own.image_id,
        np.array([areas[one] for one in own.image_id.tolist()]),
        np.array([CATEGORIES.index(names[one]) for one in own.category_id.tolist()]),
        np.zeros(len(own.image_id), bool),
    )


def plant(references: PlantedReferences, fraction: float, seed: int) -> PlantedReferences:
    """Deals a fraction of every category's features, and their areas, out to other categories.

    Raises ValueError, see `dealt_rows`.
    """
    origin = dealt_rows(references.label, fraction, seed)
    return replace(
        references,
        features=references.features[origin],
        area=references.area[origin],
        planted=origin != np.arange(len(origin)),
    )


def dealt_rows(label: NDArray[np.integer[Any]], fraction: float, seed: int) -> NDArray[np.intp]:
    """(n,) the row that each row's feature comes from when a fraction is dealt out.

    Args:
        label: (n,), the category of each row.
        fraction: of every category's rows that get one of another category.

    Raises:
        ValueError: so few categories that no dealing gives each row another category's.
    """
    random = np.random.default_rng(seed)
    rows = np.concatenate(
        [
            random.choice(own, round(fraction * len(own)), replace=False)
            for own in (np.flatnonzero(label == one) for one in np.unique(label))
        ]
    )
    dealt = random.permutation(rows)
    for _ in range(_TRIES):
        same = np.flatnonzero(label[dealt] == label[rows])
        if not len(same):
            break
        others = random.integers(0, len(rows), len(same))
        for one, other in zip(same, others, strict=True):
            dealt[[one, other]] = dealt[[other, one]]
    else:
        raise ValueError("expected categories enough to deal references out to, found too few")
    origin = np.arange(len(label))
    origin[rows] = dealt
    return origin


def measure_rejection(
    bank: rim.Bank,
    *,
    planted: Sequence[float] = (0.0, 0.1, 0.3),
    scenes: int = 100,
    seed: int = 1,
    settings: Reference | None = None,
    on_scene: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measures two rows for each fraction: with all references, and without the rejected ones.

    Args:
        bank: of the miniature world.
        planted: fractions of the references that show another category.
        scenes: fresh scenes of `rim eval --dataset miniature --seed SEED`.
        settings: how images are compared; by default the bank's own.
        on_scene: called after each scene.
    """
    names = {record.category_id: record.name for record in bank.categories}
    clean = references_before_verdicts(bank)
    chosen = settings or bank.settings.reference
    cases = []
    for fraction in planted:
        whole = plant(clean, fraction, seed=0)
        cases += [Case(whole, None, whole), Case.judged(whole, names, chosen)]
    return measure_cases(bank, cases, scenes=scenes, seed=seed, on_scene=on_scene)


def measure_cases(
    bank: rim.Bank,
    cases: Sequence[Case],
    *,
    scenes: int,
    seed: int,
    on_scene: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measures a row for each case, all on the same scenes and regions; see `measure_rejection`."""
    matching = bank.settings.matching.model_copy(update={"background": None})
    labellers = [
        PhotoLabeller(Classifier(one.references.as_bank_features(), matching), matching)
        for one in cases
    ]
    classes = Classes.closed(bank.categories)
    of_world = np.array([CATEGORIES.index(name) for name in classes.names])
    matrices = [ConfusionMatrix(len(CATEGORIES)) for _ in cases]
    right: list[list[bool]] = [[] for _ in cases]
    for scene, photo in _cut(bank, scenes, seed):
        truth = cut_along(photo.pixels, photo.tokens, true_regions(scene))
        wanted = [_shown(scene, region.mask.decoded()) for region in truth.regions]
        for i, labeller in enumerate(labellers):
            named = labeller.classifier.classify(truth.features).category_id
            right[i] += (of_world[classes.of_category[named]] == wanted).tolist()
            labels = classes.of_category[labeller.label(photo)[1]]
            matrices[i].update(np.where(labels < 0, labels, of_world[labels]), scene.labels)
        on_scene()
    return [
        _row(case, float(np.mean(shares)), matrix.scores(CATEGORIES).miou)
        for case, shares, matrix in zip(cases, right, matrices, strict=True)
    ]


def _cut(bank: rim.Bank, scenes: int, seed: int) -> Iterator[tuple[Scene, SegmentedPhoto]]:
    """Scenes, and the same cut into regions as in a query."""
    engine = bank.engine(offline=True)
    for number in range(scenes):
        scene = draw_scene(evaluation_seed(seed, number))
        yield scene, engine.cut(scene.image)


def _shown(scene: Scene, mask: NDArray[np.bool_]) -> int:
    """The label of most pixels of a true region; of a thing half hidden still its own."""
    labels = scene.labels[mask]
    return int(np.bincount(labels[labels >= 0]).argmax())


def _row(case: Case, naming: float, miou: float) -> Row:
    whole, reasons = case.whole, case.reasons
    found = lost = None
    if reasons is not None:
        rejected = np.isin(whole.image_id, list(reasons))
        found = float(rejected[whole.planted].mean()) if whole.planted.any() else None
        lost = float(rejected[~whole.planted].mean())
    return Row(
        planted=float(whole.planted.mean()),
        rejection=reasons is not None,
        references=len(case.references.image_id),
        found=found,
        lost=lost,
        naming=naming,
        miou=miou,
        reasons=dict(Counter(reason.split(",")[0] for reason in (reasons or {}).values())),
    )


def planted_table(title: str, column: str, rows: Sequence[tuple[str, Row]]) -> Table:
    """A table of rows for a terminal, each with its text for the second column."""
    columns = ("planted", column, "references", "found", "lost", "naming", "mIoU")
    return result_table(
        title,
        columns,
        [
            (
                f"{row.planted:.0%}",
                text,
                str(row.references),
                "" if row.found is None else f"{row.found:.1%}",
                "" if row.lost is None else f"{row.lost:.1%}",
                f"{row.naming:.3f}",
                f"{row.miou:.3f}",
            )
            for text, row in rows
        ],
    )


def fractions(text: str) -> tuple[float, ...]:
    """Fractions from 0 to below 1, as "0,0.1"."""
    fractions = tuple(float(word) for word in text.split(","))
    if not all(0 <= fraction < 1 for fraction in fractions):
        raise argparse.ArgumentTypeError(f"expected fractions from 0 to below 1, found {text}")
    return fractions


def parser_of_planting(doc: str | None, planted: tuple[float, ...]) -> argparse.ArgumentParser:
    """A parser that knows the bank, --planted, --scenes, --seed and --json."""
    parser = parser_of(doc)
    add = parser.add_argument
    default = ",".join(f"{one:g}" for one in planted)
    add("bank", type=Path, help="a bank of the miniature world")
    add("--planted", type=fractions, default=planted, help=f"default {default}")
    add("--scenes", type=int, default=100, help="fresh scenes (default 100)")
    add("--seed", type=int, default=1, help="of the scenes (default 1, the scored ones)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table; `arguments` are the command line's."""
    parser = parser_of_planting(__doc__, (0.0, 0.1, 0.3))
    add = parser.add_argument
    add("--margin", type=float, help="another reference.confusion_margin than the bank's")
    add("--mads", type=float, help="another reference.outlier_mads than the bank's")
    options = parser.parse_args(arguments)
    bank = rim.open(options.bank)
    asked = {"confusion_margin": options.margin, "outlier_mads": options.mads}
    chosen = bank.settings.reference.model_copy(
        update={key: value for key, value in asked.items() if value is not None}
    )
    with counter("scenes", options.scenes) as advance:
        rows = measure_rejection(
            bank,
            planted=options.planted,
            scenes=options.scenes,
            seed=options.seed,
            settings=chosen,
            on_scene=advance,
        )
    console = Console()
    title = "Wrong references: planted, rejected, and what they cost"
    ways = [("on" if row.rejection else "off", row) for row in rows]
    console.print(planted_table(title, "rejection", ways))
    for row in rows:
        for reason, count in sorted(row.reasons.items()):
            console.print(f"{row.planted:.0%} planted: {count} {reason}", highlight=False)
    write_json(options.json, rows)


if __name__ == "__main__":
    main()
