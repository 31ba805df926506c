"""The speed from prompt to stored feature: rim, and stock calls one image after another.

    python -m benchmarks.speed.build [--preset PRESET] [--json FILE]

Both make the same images in as many steps and write them to disk; `stock_references` says what the
stock way is. rim's way is `bank_builder.shard_work`, a shard a category. Loading the models is not
timed. The arithmetic is what the UNet needs for the images, over the time rim took.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bank_builder.shard_work import make_shards
from bank_builder.sources.diffusion import GeneratedImages, image_seed
from benchmarks.command import (
    add_device,
    add_preset,
    add_rounds,
    device_of,
    parser_of,
    quiet_libraries,
    settings_of,
)
from benchmarks.gate import Gate
from benchmarks.speed.stock_references import StockReferences
from benchmarks.speed.timing import (
    Seconds,
    in_turns,
    matrix_product_rate,
    median,
    report,
    target,
    unet_flops,
    where,
)
from foundation.precision import fast_type
from foundation.prompts import category_prompt
from foundation.stack import ModelStack
from foundation.text_to_image import unet_calls
from miniature.world import FAMILIAR
from schemas.settings import Settings
from schemas.store.shards import ShardSpec
from schemas.tables import ReferenceRow

RIM, STOCK = "rim", "stock"
LEAST_MINIATURE, LEAST_FULL_SIZE = 2.0, 1.5
_TERA = 1e12


@dataclass
class Work:
    """The images 0..per_category-1 of some categories, made in two ways.

    seconds: rim's, by stage, of every shard so far.
    """

    stack: ModelStack
    stock: StockReferences
    categories: Sequence[str]
    per_category: int
    seconds: list[dict[str, float]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The settings of the models and of the build."""
        return self.stack.settings

    def rim(self) -> list[ReferenceRow]:
        """Makes shards of a bank, in a folder that is deleted."""
        rows: list[ReferenceRow] = []

        def on_restart(repeated: Sequence[str]) -> None:
            del rows[len(rows) - len(repeated) :]

        images = GeneratedImages(self.per_category, self.settings)
        specs = [
            ShardSpec(
                category_id=category_id,
                category=category,
                source=images.source,
                start=0,
                stop=self.per_category,
                build_hash=self.settings.build_hash(),
            )
            for category_id, category in enumerate(self.categories)
        ]
        with tempfile.TemporaryDirectory() as folder:
            size = images.batch_size(self.stack)
            shards = make_shards(
                Path(folder),
                specs,
                images,
                self.stack,
                self.settings,
                size,
                rows.extend,
                on_restart,
            )
            self.seconds += [shard.seconds for shard in shards]
        # What failed cost less than it should.
        if reasons := {row.reason for row in rows if row.status == "failed"}:
            raise SystemExit(f"expected images that all can be made, found: {reasons}")
        return rows

    def by_stock_calls(self) -> None:
        """Makes files of the same images, in a folder that is deleted."""
        generation = self.settings.generation
        with tempfile.TemporaryDirectory() as folder:
            for category in self.categories:
                prompt = category_prompt(category, generation.template, generation.no_article)
                for number in range(self.per_category):
                    seed = image_seed(generation.seed, category, number)
                    reference = self.stock.make(prompt, seed)
                    self.stock.write(Path(folder), f"{category}-{number}", reference)


def warm_up(work: Work) -> None:
    """Makes one batch by rim, one image by stock calls."""
    batch = min(work.per_category, work.settings.generation.batch_size)
    Work(work.stack, work.stock, work.categories[:1], batch).rim()
    Work(work.stack, work.stock, work.categories[:1], 1).by_stock_calls()


def denoising_flops(work: Work) -> float:
    """The FLOPs of the UNet for all the images.

    A call is of one image, or of two with guidance; a UNet that takes the guidance as an input
    computes one.
    """
    generation, pipeline = work.settings.generation, work.stock.pipeline
    once = unet_flops(pipeline, (generation.height, generation.width))
    is_input = pipeline.unet.config.time_cond_proj_dim is not None
    halves = 2 if generation.guidance_scale > 1 and not is_input else 1
    images = len(work.categories) * work.per_category
    return float(once) * halves * unet_calls(pipeline.scheduler, generation.steps) * images


def gates_of(work: Work, seconds: Seconds) -> list[Gate]:
    """The measured numbers with their bounds."""
    device = work.stack.device
    images = len(work.categories) * work.per_category
    ratio = median(seconds[STOCK]) / median(seconds[RIM])
    gates = [Gate(name, "images/s", images / median(times)) for name, times in seconds.items()]
    least = target(work.settings, device, miniature=LEAST_MINIATURE, full_size=LEAST_FULL_SIZE)
    gates.append(Gate("ratio", "rim to stock", ratio, least=least))
    stages = {name: sum(shard.get(name, 0.0) for shard in work.seconds) for name in work.seconds[0]}
    for name, spent in stages.items():
        gates.append(Gate("rim's time", name, spent / sum(seconds[RIM])))
    flops = denoising_flops(work)
    possible = matrix_product_rate(device, fast_type(device))
    reached = flops / median(seconds[RIM])
    generating = flops * len(seconds[RIM]) / stages["generate"]
    gates.append(Gate("arithmetic", "matrix products, TFLOP/s", possible / _TERA))
    gates.append(Gate("arithmetic", "UNet over rim's time, TFLOP/s", reached / _TERA))
    gates.append(Gate("arithmetic", "share", reached / possible))
    gates.append(Gate("arithmetic", "share while generating", generating / possible))
    return gates


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table; `arguments` are the command line's."""
    parser = parser_of(__doc__)
    add_rounds(parser, 3)
    add_device(parser)
    add_preset(parser)
    add = parser.add_argument
    add("--categories", type=int, default=4, help=f"how many, 1 to {len(FAMILIAR)} (default 4)")
    add("--images", type=int, help="a category (default: a batch)")
    options = parser.parse_args(arguments)
    device = device_of(options)
    quiet_libraries()
    settings = settings_of(options)
    stack = ModelStack(settings, str(device))
    stack.load()
    generation = settings.generation
    per_category = options.images or generation.batch_size
    work = Work(stack, StockReferences(stack), FAMILIAR[: options.categories], per_category)
    warm_up(work)
    seconds = in_turns({RIM: work.rim, STOCK: work.by_stock_calls}, options.rounds, device)
    title = (
        f"Prompt to stored feature, {settings.preset}: {len(work.categories)} x {per_category} "
        f"images, {generation.steps} steps, batches of {generation.batch_size}, {where(device)}"
    )
    report(title, gates_of(work, seconds), seconds, options.json)


if __name__ == "__main__":
    main()
