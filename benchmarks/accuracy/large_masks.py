"""What comparing the areas of masks is worth: to stuff, which fills its images, and to things.

    python -m benchmarks.accuracy.large_masks BANK [--planted 0,0.1,0.2] [--scenes N] [--seed S]
                                                   [--json FILE]

BANK is a bank of the miniature world. First, how many images of things and of stuff it accepted,
and why not the others. Then a fraction of every thing's references is given the wrong mask that
attention warns of least, the whole image, and fresh scenes are labelled: with all references,
without those that the comparison of features rejects, and without those that features or areas
reject. Features find such a mask more easily where what lies behind the thing is in the vocabulary
too, so it is also counted what they find in a vocabulary of the things alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import rim
from bank_builder.reference import pool_reference
from benchmarks.accuracy.references import Features
from benchmarks.accuracy.rejection import (
    Case,
    PlantedReferences,
    Row,
    measure_cases,
    parser_of_planting,
    planted_table,
    references_before_verdicts,
)
from benchmarks.command import result_table, write_json
from foundation.images.reading import decode_png
from foundation.stack import ModelStack
from miniature.world import CATEGORIES, STUFF
from rim.cli.progress import counter
from schemas.sections import Reference

WAYS = ("all", "features", "features and areas")
"""The references that are left: all, or those that pass these comparisons."""

_PLANT_SEED = 0


@dataclass(frozen=True)
class WayFound:
    """The planted masks that one way of comparing finds, in a vocabulary of the bank's things.

    planted, found, lost: how many there are, how many of them are rejected, and how many others.
    """

    planted: int
    way: str
    found: int
    lost: int


@dataclass(frozen=True)
class Acceptance:
    """Images of one kind. large: those whose mask covers more than 0.98. reasons: of the others."""

    kind: str
    images: int
    accepted: int
    large: int
    reasons: dict[str, int]


def acceptance(bank: rim.Bank) -> list[Acceptance]:
    """Counts the images of a bank's things and of its stuff, verdicts applied."""
    columns = ["category_id", "status", "reason", "mask_area"]
    names = {record.category_id: record.name for record in bank.categories}
    rows = bank.images_table(columns).to_pylist()
    found = []
    for kind in ("things", "stuff"):
        own = [row for row in rows if (names[row["category_id"]] in STUFF) == (kind == "stuff")]
        rejected = (row["reason"].split(",")[0] for row in own if row["reason"] is not None)
        found.append(
            Acceptance(
                kind,
                len(own),
                sum(row["status"] == "accepted" for row in own),
                sum((row["mask_area"] or 0) > 0.98 for row in own),
                dict(Counter(rejected)),
            )
        )
    return found


def with_whole_images(
    bank: rim.Bank, references: PlantedReferences, planted: Sequence[float]
) -> list[PlantedReferences]:
    """The references with these fractions of every thing's under a mask of the whole image."""
    random = np.random.default_rng(_PLANT_SEED)
    things = [i for i in np.unique(references.label) if CATEGORIES[i] not in STUFF]
    order = [random.permutation(np.flatnonzero(references.label == i)) for i in things]
    most = np.concatenate([own[: round(max(planted) * len(own))] for own in order])
    whole = dict(zip(most.tolist(), _whole(bank, references.image_id[most]), strict=True))
    found = []
    for fraction in planted:
        rows = np.concatenate([own[: round(fraction * len(own))] for own in order])
        features, area = references.features.copy(), references.area.copy()
        wrong = references.planted.copy()
        for row in rows.tolist():
            features[row], area[row], wrong[row] = whole[row], 1.0, True
        found.append(replace(references, features=features, area=area, planted=wrong))
    return found


def _whole(bank: rim.Bank, image_id: NDArray[np.int64]) -> list[Features]:
    """The features (d,) of whole images."""
    extractor = ModelStack(bank.settings, "cpu", offline=True).features
    stored = bank.png(image_id.tolist())
    found = []
    for one in image_id.tolist():
        image = np.asarray(decode_png(stored[one]), np.uint8)
        mask = np.ones(image.shape[:2], bool)
        feature = pool_reference(extractor.extract([image])[0], mask, 0.0).foreground
        assert feature is not None  # the mask is not empty
        found.append(feature)
    return found


def found_among_things(bank: rim.Bank, planted: Sequence[float]) -> list[WayFound]:
    """Counts what comparing finds without stuff in the vocabulary, for each fraction and way."""
    names = {record.category_id: record.name for record in bank.categories}
    every = references_before_verdicts(bank)
    stuff = [CATEGORIES[label] in STUFF for label in every.label.tolist()]
    things = every.without(every.image_id[stuff].tolist())
    found = []
    for whole in with_whole_images(bank, things, planted):
        for way, settings in _comparing(bank).items():
            rejected = np.isin(
                whole.image_id, list(Case.judged(whole, names, settings).reasons or {})
            )
            found.append(
                WayFound(
                    int(whole.planted.sum()),
                    way,
                    int(rejected[whole.planted].sum()),
                    int(rejected[~whole.planted].sum()),
                )
            )
    return found


def _comparing(bank: rim.Bank) -> dict[str, Reference]:
    """The settings of the ways that compare at all."""
    both = bank.settings.reference
    return {WAYS[1]: both.model_copy(update={"max_excess": 1.0}), WAYS[2]: both}


def measure(
    bank: rim.Bank,
    *,
    planted: Sequence[float] = (0.0, 0.1, 0.2),
    scenes: int = 100,
    seed: int = 1,
    on_scene: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measures a row for each of WAYS and each fraction; see `rejection.measure_rejection`."""
    names = {record.category_id: record.name for record in bank.categories}
    cases = []
    for whole in with_whole_images(bank, references_before_verdicts(bank), planted):
        judged = [Case.judged(whole, names, one) for one in _comparing(bank).values()]
        cases += [Case(whole, None, whole), *judged]
    return measure_cases(bank, cases, scenes=scenes, seed=seed, on_scene=on_scene)


def tables(
    accepted: Sequence[Acceptance], rows: Sequence[Row], among_things: Sequence[WayFound]
) -> list[Table]:
    """The results as tables for a terminal."""
    kinds = result_table(
        "Accepted references",
        ("", "images", "accepted", "above 0.98", "rejected"),
        [
            (
                kind.kind,
                str(kind.images),
                str(kind.accepted),
                str(kind.large),
                "; ".join(f"{count} {reason}" for reason, count in sorted(kind.reasons.items())),
            )
            for kind in accepted
        ],
    )
    ways = [(WAYS[number % len(WAYS)], row) for number, row in enumerate(rows)]
    wrong = planted_table("Things under masks of the whole image", "compared", ways)
    alone = result_table(
        "The same, things alone",
        ("planted", "compared", "found", "lost"),
        [(str(one.planted), one.way, str(one.found), str(one.lost)) for one in among_things],
    )
    return [kinds, wrong, alone]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the tables; `arguments` are the command line's."""
    options = parser_of_planting(__doc__, (0.0, 0.1, 0.2)).parse_args(arguments)
    bank = rim.open(options.bank)
    accepted = acceptance(bank)
    with counter("scenes", options.scenes) as advance:
        rows = measure(
            bank,
            planted=options.planted,
            scenes=options.scenes,
            seed=options.seed,
            on_scene=advance,
        )
    among_things = found_among_things(bank, options.planted)
    console = Console()
    for table in tables(accepted, rows, among_things):
        console.print(table)
    results = {"accepted": accepted, "planted": rows, "among_things": among_things}
    write_json(options.json, results)


if __name__ == "__main__":
    main()
