"""The rows of the ablation: each changes one thing of the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.accuracy.prompting import PROMPTINGS, Prompting
from benchmarks.accuracy.reference_sets import (
    ATTENTION,
    BANK,
    EVERYTHING,
    FOUND,
    PLANTED,
    PLANTED_SHARE,
    TRUE_MASKS,
    WORLD,
    first,
    prompted,
)
from benchmarks.accuracy.scenes import Cut
from schemas.sections import Matching

FUSE = 0.9
KS = (1, 5, 10, 25, 50)
K_GROUP = "images per category (K)"
OPEN_GROUP = "background, 7 of the 22 categories left out of the vocabulary"


TextOf = Literal["cut-out", "square"]


@dataclass(frozen=True)
class AblationRow:
    """One row of the table.

    Attributes:
        group, name: its title in the table.
        references: a set of `ReferenceSets`.
        cut: how scenes are cut into regions.
        overrides: of the section `matching`, "key=value" each, after the default's.
        text_of: regions are classified by CLIP's text alone, each cropped so; None: by references.
        left_out: some categories are not in the vocabulary, and "background" is a class.
    """

    group: str
    name: str
    references: str = BANK
    cut: Cut = "sam"
    overrides: tuple[str, ...] = ()
    text_of: TextOf | None = None
    left_out: bool = False


DEFAULT = AblationRow("default", "default")
ON_TRUE_MASKS = AblationRow("reference masks", "ground truth", TRUE_MASKS)
_BY_TEXT = "CLIP's text instead of references"
BY_TEXT = (
    AblationRow(_BY_TEXT, "regions cut out, the rest in their mean colour", text_of="cut-out"),
    AblationRow(_BY_TEXT, "square around each region", text_of="square"),
)


def ablation_rows(matching: Matching, images_per_category: int) -> tuple[AblationRow, ...]:
    """All rows, in the table's order.

    Args:
        matching: the default.
        images_per_category: K of the banks; there is no row for more.
    """
    rows = [
        DEFAULT,
        *_matchers(matching),
        AblationRow("reference masks", "attention alone", ATTENTION),
        _default("reference masks", "SAM"),
        ON_TRUE_MASKS,
        AblationRow("reference masks", "the world's own images, true masks", WORLD),
        *(
            AblationRow("prompt points, all images segmented again", _words(one), prompted(one))
            for one in PROMPTINGS
        ),
        _default("rejection of references", "on"),
        AblationRow("rejection of references", "off", EVERYTHING),
        AblationRow(
            "rejection of references", f"off, {PLANTED_SHARE:.0%} wrong ones planted", PLANTED
        ),
        AblationRow(
            "rejection of references", f"on, {PLANTED_SHARE:.0%} wrong ones planted", FOUND
        ),
        *(AblationRow(K_GROUP, f"K = {k}", first(k)) for k in KS if k <= images_per_category),
        *_regions(),
        *_evidence(),
        *BY_TEXT,
        *_background(),
    ]
    return tuple(rows)


def _matchers(matching: Matching) -> Sequence[AblationRow]:
    group = "matcher"
    ranking = ("matcher=ranking", "standardise=true", "temperature=1.0")
    plain = ("matcher=ranking", "standardise=false", "temperature=0.1")
    return (
        _default(group, f"knn, k = {matching.neighbours}"),
        *(AblationRow(group, f"knn, k = {k}", overrides=(f"neighbours={k}",)) for k in (5, 1)),
        *(
            AblationRow(
                group,
                f"prototype, {n} a category",
                overrides=("matcher=prototype", f"prototypes_per_category={n}"),
            )
            for n in (1, 4)
        ),
        AblationRow(group, "ranking, standardised, τ = 1", overrides=ranking),
        AblationRow(group, "ranking, plain, τ = 0.1", overrides=plain),
    )


def _regions() -> Sequence[AblationRow]:
    group = "regions"
    return (
        _default(group, "SAM's, overlapping, all vote"),
        AblationRow(group, f"fused by Eq. 1 above {FUSE:g}", cut="fused"),
        AblationRow(group, "overlapping, the best decides", overrides=("overlap=best",)),
        AblationRow(
            group, "pixels under no region stay unlabelled", overrides=("patch_fallback=false",)
        ),
        AblationRow(group, "patches not smoothed", overrides=("patch_smoothing=1",)),
        AblationRow(group, "the true regions", cut="true"),
    )


def _evidence() -> Sequence[AblationRow]:
    group = "evidence beside the references"
    return (
        _default(group, "negatives"),
        AblationRow(group, "no negatives", overrides=("negatives=false",)),
        AblationRow(group, "filter: categories below 1 % of the photo", overrides=("filter=0.01",)),
        AblationRow(group, "CLIP's text with a weight of 0.2", overrides=("text_weight=0.2",)),
        AblationRow(
            group, "threshold, though every pixel has a category", overrides=("background=auto",)
        ),
    )


def _background() -> Sequence[AblationRow]:
    ways = (
        ("every region is classified", "none", "false"),
        ("negatives", "none", "true"),
        ("threshold", "auto", "false"),
        ("negatives and threshold", "auto", "true"),
    )
    return tuple(
        AblationRow(
            OPEN_GROUP,
            name,
            overrides=(f"background={background}", f"negatives={negatives}"),
            left_out=True,
        )
        for name, background, negatives in ways
    )


def _default(group: str, name: str) -> AblationRow:
    return replace(DEFAULT, group=group, name=f"{name} (default)")


def _words(prompting: Prompting) -> str:
    how = {
        "algorithm": "by Algorithm 1",
        "random": "at random",
        "maximum": "where the map is largest",
    }
    return f"N = {prompting.count} {how[prompting.choice]}"
