"""What each choice of the method is worth, on fresh scenes of the miniature world.

    python -m benchmarks.accuracy.ablation --work W [--scenes 300] [--seed 5] [--bank-seeds 0 1 2]
                                           [--images-per-category 50] [--markdown FILE]
                                           [--plot FILE.png] [--json FILE]

W holds the banks, W/bank-SEED, which are built where they are missing, the judge of generated
images in W/judge, trained in a few minutes if there is none, and what has been measured, in
W/ablation.jsonl: an interrupted run goes on where it stopped. Scenes are cut into regions once for
all rows, and every row changes one thing of the preset's settings. Since every pixel of a scene has
a name, the threshold for "none of these" is off, apart from the rows that are about it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from rich.console import Console

import rim
from benchmarks.accuracy.caching import CachingStack
from benchmarks.accuracy.measuring import BankMeasure
from benchmarks.accuracy.reference_sets import TRUE_MASKS, ReferenceSets
from benchmarks.accuracy.report import Ablation, Result, plot_over_k
from benchmarks.accuracy.rows import FUSE, AblationRow, ablation_rows
from benchmarks.accuracy.scenes import Cut, CutScenes, Cutter
from benchmarks.accuracy.state import MeasuredRows, measurement_key
from benchmarks.command import add_device, device_of, parser_of, write_json, write_text
from foundation.stack import ModelStack
from foundation.weights.model_files import fingerprint
from miniature.training.train_judge import judge_weights, trained_judge
from query.segmentation import QueryEngine
from rim.cli.progress import build_progress, counter
from schemas.digests import sha256_file
from schemas.errors import BankError
from schemas.settings import Settings, load_settings
from schemas.store.manifests import list_versions

STATE = "ablation.jsonl"


def opened_bank(folder: Path, preset: str, images_per_category: int, seed: int) -> rim.Bank:
    """Opens the bank of a folder, which is built first where there is none yet.

    Raises BankError if it was made from another seed or has fewer images.
    """
    if not list_versions(folder):
        Console(stderr=True).print(f"building {folder}")
        with build_progress() as progress:
            rim.build(
                "miniature",
                folder,
                preset=preset,
                images_per_category=images_per_category,
                seed=seed,
                offline=True,
                progress=progress,
            )
    bank = rim.open(folder)
    found = bank.settings.generation.seed, bank.manifest.images_per_category
    if found[0] != seed or found[1] < images_per_category:
        raise BankError(
            f"{folder}: expected a bank of {images_per_category} images per category made from"
            f" seed {seed}, found {found[1]} from seed {found[0]}; give its own seed and number,"
            " or another folder"
        )
    return bank


def closed_settings(bank: rim.Bank, preset: str) -> Settings:
    """A bank's settings with the preset's proposals and matching, without the threshold."""
    chosen = load_settings(preset)
    matching = chosen.matching.model_copy(update={"background": None})
    return bank.settings.model_copy(update={"proposals": chosen.proposals, "matching": matching})


def cut_scenes(
    bank: rim.Bank, settings: Settings, stack: CachingStack, count: int, seed: int
) -> CutScenes:
    """The scenes, to be cut as the settings say and, again, with Eq. 1; any bank will do."""
    fusing = settings.proposals.model_copy(update={"fuse": FUSE})
    fused = settings.model_copy(update={"proposals": fusing})
    cutters: dict[Cut, Cutter] = {
        "sam": QueryEngine(bank, stack, settings).cut,
        "fused": QueryEngine(bank, stack, fused).cut,
    }
    return CutScenes(count, seed, cutters)


def run_ablation(
    banks: Sequence[rim.Bank],
    work: Path,
    *,
    preset: str = "miniature",
    scenes: int = 300,
    seed: int = 5,
    images_per_category: int = 50,
    device: str = "auto",
    rows: Sequence[AblationRow] | None = None,
) -> Ablation:
    """Measures all rows with all banks, but for those that the work folder has already.

    Args:
        banks: of the miniature world, made with the same settings from different seeds.
        work: of the judge and of what has been measured.
        preset: of the settings `proposals` and `matching`.
        scenes, seed: of the fresh scenes, as `rim eval --dataset miniature` has them.
        images_per_category: K of the banks.
        rows: by default all.
    """
    work.mkdir(parents=True, exist_ok=True)
    state = MeasuredRows(work / STATE)
    settings = closed_settings(banks[0], preset)
    models = ModelStack(settings, device, offline=True)
    stack = CachingStack(models)
    cut = cut_scenes(banks[0], settings, stack, scenes, seed)
    judge = cache(lambda: trained_judge(work))
    chosen = ablation_rows(settings.matching, images_per_category) if rows is None else tuple(rows)
    common = {
        "scenes": scenes,
        "seed": seed,
        "proposals": settings.proposals.model_dump(mode="json"),
        "text_image": fingerprint(models.path("text_image")),
    }
    keys: dict[tuple[int, AblationRow], str] = {}
    measures = []
    for number, bank in enumerate(banks):
        sets = ReferenceSets(bank, models, judge)
        measure = BankMeasure(bank, closed_settings(bank, preset), sets, cut, stack)
        measures.append(measure)
        for row in chosen:
            counts = common | {"bank": bank.manifest.digest, **measure.what_counts(row)}
            if row.references == TRUE_MASKS:
                judge()  # makes the file, if need be
                counts["judge"] = sha256_file(judge_weights(work))
            keys[number, row] = measurement_key(counts)
    missing = {place: key for place, key in keys.items() if state.get(key) is None}
    if missing:
        with counter("scenes", scenes) as on_scene:
            cut.prepare(on_scene)
        with counter("rows", len(missing)) as on_row:
            for (number, row), key in missing.items():
                if state.get(key) is None:  # rows of different groups may be the same
                    state.add(key, measures[number].measure(row))
                on_row()
    return Ablation(
        scenes=scenes,
        seed=seed,
        bank_seeds=tuple(bank.settings.generation.seed for bank in banks),
        images_per_category=images_per_category,
        results=tuple(
            Result(row, tuple(state[keys[number, row]] for number in range(len(banks))))
            for row in chosen
        ),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables, writes files; `arguments` are the command line's."""
    options = _parsed(arguments)
    device = device_of(options)
    folders = options.banks or [options.work / f"bank-{seed}" for seed in options.bank_seeds]
    banks = [
        opened_bank(folder, options.preset, options.images_per_category, seed)
        for folder, seed in zip(folders, options.bank_seeds, strict=True)
    ]
    ablation = run_ablation(
        banks,
        options.work,
        preset=options.preset,
        scenes=options.scenes,
        seed=options.seed,
        images_per_category=options.images_per_category,
        device=str(device),
    )
    console = Console()
    for table in ablation.tables():
        console.print(table)
    write_text(options.markdown, ablation.markdown())
    write_json(options.json, ablation.as_dict())
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        plot_over_k(ablation, options.plot)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    add_device(parser)
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder of banks, judge and measurements")
    add("--scenes", type=int, default=300, help="fresh scenes (default 300)")
    add("--seed", type=int, default=5, help="of the scenes (default 5)")
    add("--bank-seeds", type=int, nargs="+", default=[0, 1, 2], help="of the banks (default 0 1 2)")
    add("--banks", type=Path, nargs="+", help="their folders, in that order, if they are elsewhere")
    add("--images-per-category", type=int, default=50, help="K of the banks (default 50)")
    add("--markdown", type=Path, help="also write the tables here")
    add("--plot", type=Path, help="also draw mIoU over K here, a PNG; needs matplotlib")
    add("--preset", default="miniature", help="a preset, or a .toml file")
    options = parser.parse_args(arguments)
    if options.scenes < 1 or options.images_per_category < 1:
        parser.error("expected at least one scene and one image per category")
    if options.banks and len(options.banks) != len(options.bank_seeds):
        parser.error(
            f"expected one folder for each of {len(options.bank_seeds)} bank seeds, found"
            f" {len(options.banks)}"
        )
    return options


if __name__ == "__main__":
    main()
