"""The cost of capturing attention: the same pipeline, prompts and seeds with it and without it.

    python -m benchmarks.speed.capture --stack miniature|full [--json FILE]

Denoising alone is compared: the text is encoded beforehand and the autoencoder decodes nothing, in
both ways alike. `full` is Stable Diffusion v1.5 with random weights. Memory is the peak of one
batch: on a GPU what the allocator handed out, on Linux the resident memory of a fresh process.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.console import Console

from benchmarks.command import add_device, add_rounds, device_of, parser_of, quiet_libraries
from benchmarks.full_size.architectures import sd15
from benchmarks.gate import Gate
from benchmarks.memory.process import can_reset_peak, peak, reset_peak
from benchmarks.speed.timing import Seconds, in_turns, median, report, where
from foundation.interfaces import GeneratedImage, Prompt
from foundation.precision import compute_in, fast_type
from foundation.prompts import category_prompt
from foundation.stack import ModelStack
from foundation.text_to_image import DiffusersTextToImage
from foundation.text_to_image_loading import load_pipeline
from miniature.world import FAMILIAR
from schemas.settings import Generation, load_settings

WITH, WITHOUT = "with capture", "without"
MOST = {"miniature": 1.10, "full": 1.02}

_BYTES_PER_GIB = 1 << 30


@dataclass(frozen=True)
class Recipe:
    """The batch to make: the stack, images, denoising steps, device and threads."""

    stack: str
    images: int
    steps: int
    device: torch.device
    threads: int

    def load(self) -> Batch:
        """The batch, its pipeline loaded."""
        torch.set_num_threads(self.threads)
        quiet_libraries()
        generation = _generation(self.stack)
        if self.stack == "miniature":
            folder = ModelStack(load_settings(self.stack), "cpu").path("text_to_image")
            pipeline = load_pipeline(folder, self.device)
        else:
            pipeline = sd15().to(self.device)
        compute_in(pipeline.unet, fast_type(self.device))
        names = [FAMILIAR[i % len(FAMILIAR)] for i in range(self.images)]
        prompts = [category_prompt(name, generation.template) for name in names]
        return Batch(pipeline, prompts, self.steps, generation)


@dataclass
class Batch:
    """One batch of images, made in two ways by the same pipeline.

    latents: of the run before, (B, c, h, w), as they came to be decoded.
    """

    pipeline: Any
    prompts: Sequence[Prompt]
    steps: int
    generation: Generation
    latents: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        size = (self.generation.height, self.generation.width)
        scale = self.generation.guidance_scale
        self._model = DiffusersTextToImage(self.pipeline, self.steps, scale, *size)
        self._seeds = range(len(self.prompts))

    def with_capture(self) -> list[GeneratedImage]:
        """As `rim build` does."""
        return self._model.generate(self.prompts, self._seeds)

    def without(self) -> None:
        """The pipeline called with the same arguments."""
        self.pipeline(
            prompt=[prompt.text for prompt in self.prompts],
            height=self.generation.height,
            width=self.generation.width,
            num_inference_steps=self.steps,
            guidance_scale=self.generation.guidance_scale,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in self._seeds],
            output_type="np",
        )

    @contextmanager
    def denoising_alone(self) -> Iterator[None]:
        """Within it the text is encoded once, and images of one pixel stand for decoded ones."""
        pipeline = self.pipeline
        with torch.no_grad():
            texts = [prompt.text for prompt in self.prompts]
            guided = self.generation.guidance_scale > 1
            encoded = pipeline.encode_prompt(texts, pipeline.device, 1, guided)

        def store_latents(latents: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
            self.latents = latents
            return (latents.new_zeros(len(latents), 3, 1, 1),)

        pipeline.encode_prompt = lambda *_, **__: encoded
        pipeline.vae.decode = store_latents
        try:
            yield
        finally:
            del pipeline.encode_prompt, pipeline.vae.decode


@dataclass(frozen=True)
class BatchMemory:
    """GiB of the loaded pipeline, and the peak while a batch was made."""

    loaded: float
    peak: float


def largest_difference(batch: Batch) -> float:
    """The largest difference between the latents of the two ways; also warms them up.

    It is 0 as long as capturing changes nothing. NaN is left out.
    """
    batch.with_capture()
    captured = batch.latents
    batch.without()
    return float((captured - batch.latents).abs().nan_to_num().max())


def memory(recipe: Recipe, captured: bool) -> BatchMemory | None:
    """The memory of a batch in this process, the first it makes; None if it cannot be measured."""
    on_gpu = recipe.device.type == "cuda"
    if not on_gpu and not can_reset_peak():
        return None
    batch = recipe.load()
    with batch.denoising_alone():
        run: Callable[[], object] = batch.with_capture if captured else batch.without
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(recipe.device)
            loaded = torch.cuda.memory_allocated(recipe.device)
            run()
            most = torch.cuda.max_memory_allocated(recipe.device)
            return BatchMemory(loaded / _BYTES_PER_GIB, most / _BYTES_PER_GIB)
        # Otherwise the peak would be that of loading.
        loaded = reset_peak()
        run()
        return BatchMemory(loaded / _BYTES_PER_GIB, peak() / _BYTES_PER_GIB)


def gates_of(
    recipe: Recipe, seconds: Seconds, difference: float, memories: dict[str, BatchMemory | None]
) -> list[Gate]:
    """The measured numbers with their bounds."""
    ratio = median(seconds[WITH]) / median(seconds[WITHOUT])
    known = {name: one for name, one in memories.items() if one is not None}
    gates = []
    for name, times in seconds.items():
        gates.append(Gate(name, "denoising, s", median(times)))
        if name in known:
            gates.append(Gate(name, "loaded, GiB", known[name].loaded))
            gates.append(Gate(name, "peak, GiB", known[name].peak))
    gates.append(Gate("ratio", "denoising", ratio, most=MOST[recipe.stack]))
    if len(known) == len(seconds):
        gates.append(Gate("ratio", "peak memory", known[WITH].peak / known[WITHOUT].peak))
    gates.append(Gate("difference", "latents, largest", difference, most=0.0))
    return gates


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table; `arguments` are the command line's."""
    parser = parser_of(__doc__)
    add_rounds(parser, 5)
    add_device(parser)
    parser.add_argument("--stack", choices=sorted(MOST), default="miniature")
    parser.add_argument("--images", type=int, help="a batch (default: the preset's; 1: full, CPU)")
    parser.add_argument("--steps", type=int, help="denoising steps (default 20; 2: full, CPU)")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory out")
    options = parser.parse_args(arguments)
    device = device_of(options)
    slow = options.stack == "full" and device.type == "cpu"
    images = options.images or (1 if slow else _generation(options.stack).batch_size)
    steps = options.steps or (2 if slow else 20)
    recipe = Recipe(options.stack, images, steps, device, torch.get_num_threads())

    memories: dict[str, BatchMemory | None] = {}
    if not options.no_memory:
        memories = {name: _in_fresh_process(recipe, name == WITH) for name in (WITH, WITHOUT)}
        if None in memories.values():
            Console(stderr=True).print("memory: not measured, it takes Linux or a GPU")
    batch = recipe.load()
    with batch.denoising_alone():
        difference = largest_difference(batch)
        ways = {WITH: batch.with_capture, WITHOUT: batch.without}
        seconds = in_turns(ways, options.rounds, device)
    title = (
        f"Attention capture, {options.stack} stack: {images} images, {steps} steps, {where(device)}"
    )
    report(title, gates_of(recipe, seconds, difference, memories), seconds, options.json)


def _generation(stack: str) -> Generation:
    return load_settings("paper" if stack == "full" else stack).generation


def _in_fresh_process(recipe: Recipe, captured: bool) -> BatchMemory | None:
    """`memory` where nothing has been allocated and given back before."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(memory, recipe, captured).result()


if __name__ == "__main__":
    main()
