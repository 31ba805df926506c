"""Every gate of the miniature stack, measured on seeds that training never draws.

    python -m benchmarks.gates.miniature --work W [--bank BANK] [--json FILE] [--sheets DIR]
                                         [--cards DIR]

W holds what measuring needs and the repository does not: the judge of generated pictures in
`W/judge`, trained in a few minutes when it is missing, and its pictures in `W/singles.npz`. The
generator's pictures come from a bank, or are made as `rim build` would; the chain is measured with
a bank alone. It reports, and ends with 0 whether or not the gates are reached.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from transformers import Dinov2Model

import rim
from benchmarks.gate import Gate, Measured, gates_table
from benchmarks.gates.cards import write_scores
from benchmarks.gates.chain import chain_gates, chain_sheet
from benchmarks.gates.clip import clip_gates, clip_sheet
from benchmarks.gates.features import features_gates, features_sheet
from benchmarks.gates.generator import generator_gates, generator_sheet
from benchmarks.gates.judging import trained_judge
from benchmarks.gates.pictures import (
    Picture,
    bank_pictures,
    generated_pictures,
    through_autoencoder,
)
from benchmarks.gates.sam import sam_gates, sam_sheet
from benchmarks.gates.sheet import save_sheet
from foundation.sam_checkpoint import load_sam
from foundation.stack import ModelStack
from miniature.training.judge import judge
from miniature.world import CATEGORIES
from rim.cli.progress import counter
from schemas.settings import load_settings

MODELS = ("generator", "sam", "features", "clip", "chain")

Sheet = Callable[[], Image.Image]


def measure_generator(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Judge the pictures of the bank, or of the stack's own generator."""
    model = trained_judge(arguments.work)
    pictures = _pictures(arguments, stack)
    judged = judge(model, [picture.image for picture in pictures])
    give_back = partial(through_autoencoder, stack.path("text_to_image"))
    measured = generator_gates(pictures, judged, model, give_back)
    return measured, lambda: generator_sheet(pictures, judged)


def measure_sam(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Score the stack's SAM on fresh scenes."""
    sam = load_sam(stack.settings.models.segmenter, stack.path("segmenter")).to(stack.device)
    measured = sam_gates(sam, scenes=arguments.scenes, grid=stack.settings.proposals.grid)
    return measured, lambda: sam_sheet(stack.segmenter)


def measure_features(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Score the stack's features on fresh scenes."""
    folder = stack.path("features")
    model = Dinov2Model.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    model = model.to(stack.device).eval()
    return features_gates(model, scenes=arguments.scenes), lambda: features_sheet(stack.features)


def measure_clip(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Score the stack's CLIP on fresh pictures and scenes."""
    scorer = stack.text_image
    return clip_gates(scorer, scenes=arguments.scenes), lambda: clip_sheet(scorer)


def measure_chain(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Score the whole chain of the bank, and with each stage replaced by the truth."""
    bank = rim.open(arguments.bank)
    with counter("scenes", arguments.chain_scenes) as advance:
        measured = chain_gates(
            bank, trained_judge(arguments.work), scenes=arguments.chain_scenes, on_scene=advance
        )
    return measured, lambda: chain_sheet(bank)


MEASURES = {
    "generator": measure_generator,
    "sam": measure_sam,
    "features": measure_features,
    "clip": measure_clip,
    "chain": measure_chain,
}


def _pictures(arguments: argparse.Namespace, stack: ModelStack) -> list[Picture]:
    if arguments.bank:
        return bank_pictures(rim.open(arguments.bank), arguments.pictures)
    total = arguments.pictures * len(CATEGORIES)
    with counter("pictures", total) as advance:

        def on_batch(made: int) -> None:
            for _ in range(made):
                advance()

        generator = stack.text_to_image
        return generated_pictures(generator, stack.settings, arguments.pictures, on_batch)


def as_json(gates: Sequence[Gate], detail: dict[str, Any]) -> str:
    """The gates and the numbers behind them as a JSON document; what is not a number is null."""
    document = {"gates": [gate.as_dict() for gate in gates], "detail": _plain(detail)}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return round(value, 4) if value == value else None


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder of the judge and of its pictures")
    add("--bank", type=Path, help="judge this bank's pictures instead of making some")
    add("--only", type=_models, default=MODELS, help=f"some of {','.join(MODELS)}")
    add("--pictures", type=int, default=20, help="generated pictures a category (default 20)")
    add("--scenes", type=int, default=100, help="scenes for the other models (default 100)")
    add("--chain-scenes", type=int, default=200, help="scenes for the chain (default 200)")
    add("--cards", type=Path, help="also write the scores into the model cards of this folder")
    add("--json", type=Path, help="also write everything here")
    add("--sheets", type=Path, help="also write a sheet of samples a model into this folder")
    add("--preset", default="miniature", help="the stack: a preset, or a .toml file")
    add("--device", default="auto")
    add("--threads", type=int, default=0, help="torch threads on the CPU (0: all cores)")
    return parser.parse_args(arguments)


def _models(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(MODELS):
        raise argparse.ArgumentTypeError(
            f"expected some of {','.join(MODELS)}, found {', '.join(sorted(unknown))}"
        )
    return names


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write what is asked for; `arguments` are the command line's."""
    options = _parsed(arguments)
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    stack = ModelStack(load_settings(options.preset), options.device, offline=True)
    gates: list[Gate] = []
    detail: dict[str, Any] = {}
    for name in options.only:
        if name == "chain" and not options.bank:
            Console(stderr=True).print("chain: left out, it is measured with --bank BANK")
            continue
        started = time.monotonic()
        measured, sheet = MEASURES[name](options, stack)
        gates += measured.gates
        detail[name] = dict(measured.per_category)
        if options.sheets:
            save_sheet(sheet(), options.sheets / f"{name}.png")
        if options.cards:
            write_scores(options.cards / f"{name}.md", measured)
        Console(stderr=True).print(f"{name}: {time.monotonic() - started:.0f} s")
    Console().print(gates_table(gates))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(as_json(gates, detail), encoding="utf-8")


if __name__ == "__main__":
    main()
