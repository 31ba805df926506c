"""Measures every gate of the miniature stack, on seeds that training never draws.

    python -m benchmarks.gates.miniature --work W [--bank BANK] [--json FILE] [--sheets DIR]
                                         [--cards DIR]

W holds what measuring needs and the repository does not: the judge of generated images in
`W/judge`, trained in a few minutes when it is missing, and its images in `W/singles.npz`. The
generator's images come from a bank, or are made as `rim build` would; the chain is measured with
a bank alone. It reports, and ends with 0 whether or not the gates are reached.
"""

from __future__ import annotations

import argparse
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
from benchmarks.command import add_device, device_of, parser_of, plain, write_json
from benchmarks.gate import Gate, Measured, gates_table, write_scores
from benchmarks.gates.chain import chain_gates, chain_sheet
from benchmarks.gates.clip import clip_gates, clip_sheet
from benchmarks.gates.features import features_gates, features_sheet
from benchmarks.gates.generator import (
    PromptedImage,
    bank_images,
    generated_images,
    generator_gates,
    generator_sheet,
    through_autoencoder,
)
from benchmarks.gates.sam import sam_gates, sam_sheet
from benchmarks.gates.sheet import save_sheet
from foundation.sam_checkpoint import load_sam
from foundation.stack import ModelStack
from miniature.training.judge import judge
from miniature.training.train_judge import trained_judge
from miniature.world import CATEGORIES
from rim.cli.progress import counter
from schemas.settings import load_settings

MODELS = ("generator", "sam", "features", "clip", "chain")

Sheet = Callable[[], Image.Image]


def measure_generator(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Judges the images of the bank, or of the stack's own generator."""
    model = trained_judge(arguments.work)
    images = _images(arguments, stack)
    judged = judge(model, [prompted.image for prompted in images])
    give_back = partial(through_autoencoder, stack.path("text_to_image"))
    measured = generator_gates(images, judged, model, give_back)
    return measured, lambda: generator_sheet(images, judged)


def measure_sam(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Scores the stack's SAM on fresh scenes."""
    sam = load_sam(stack.settings.models.segmenter, stack.path("segmenter")).to(stack.device)
    measured = sam_gates(sam, scenes=arguments.scenes, grid=stack.settings.proposals.grid)
    return measured, lambda: sam_sheet(stack.segmenter)


def measure_features(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Scores the stack's features on fresh scenes."""
    folder = stack.path("features")
    model = Dinov2Model.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    model = model.to(stack.device).eval()
    return features_gates(model, scenes=arguments.scenes), lambda: features_sheet(stack.features)


def measure_clip(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Scores the stack's CLIP on fresh images and scenes."""
    scorer = stack.text_image
    return clip_gates(scorer, scenes=arguments.scenes), lambda: clip_sheet(scorer)


def measure_chain(arguments: argparse.Namespace, stack: ModelStack) -> tuple[Measured, Sheet]:
    """Scores the whole chain of the bank, and with each stage replaced by the truth."""
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


def _images(arguments: argparse.Namespace, stack: ModelStack) -> list[PromptedImage]:
    if arguments.bank:
        return bank_images(rim.open(arguments.bank), arguments.images)
    total = arguments.images * len(CATEGORIES)
    with counter("pictures", total) as advance:

        def on_batch(made: int) -> None:
            for _ in range(made):
                advance()

        generator = stack.text_to_image
        return generated_images(generator, stack.settings, arguments.images, on_batch)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    add_device(parser)
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder of the judge and of its images")
    add("--bank", type=Path, help="judge this bank's images instead of making some")
    add("--only", type=_models, default=MODELS, help=f"some of {','.join(MODELS)}")
    add("--images", type=int, default=20, help="generated images a category (default 20)")
    add("--scenes", type=int, default=100, help="scenes for the other models (default 100)")
    add("--chain-scenes", type=int, default=200, help="scenes for the chain (default 200)")
    add("--cards", type=Path, help="also write the scores into the model cards of this folder")
    add("--sheets", type=Path, help="also write a sheet of samples a model into this folder")
    add("--preset", default="miniature", help="the stack: a preset, or a .toml file")
    return parser.parse_args(arguments)


def _models(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(MODELS):
        raise argparse.ArgumentTypeError(
            f"expected some of {','.join(MODELS)}, found {', '.join(sorted(unknown))}"
        )
    return names


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table, writes files; `arguments` are the command line's."""
    options = _parsed(arguments)
    stack = ModelStack(load_settings(options.preset), str(device_of(options)), offline=True)
    gates: list[Gate] = []
    detail: dict[str, Any] = {}
    for name in options.only:
        if name == "chain" and not options.bank:
            Console(stderr=True).print("chain: left out, it is measured with --bank BANK")
            continue
        started = time.monotonic()
        measured, sheet = MEASURES[name](options, stack)
        gates += measured.gates
        detail[name] = plain(measured.per_category, 4)
        if options.sheets:
            save_sheet(sheet(), options.sheets / f"{name}.png")
        if options.cards:
            write_scores(options.cards / f"{name}.md", measured)
        Console(stderr=True).print(f"{name}: {time.monotonic() - started:.0f} s")
    Console().print(gates_table("Gates of the miniature stack", gates))
    write_json(options.json, {"gates": [gate.as_dict() for gate in gates], "detail": detail})


if __name__ == "__main__":
    main()
