"""What a photo's size costs between SAM and the label map, in seconds and in memory.

    python -m benchmarks.speed.large_photos [--regions 60] [--categories 150] [--json FILE]

Photos of 1, 6 and 24 megapixels in 4:3, and one of 10,000 x 10,000, the largest that is read. The
models are stand-ins at SAM ViT-H's and DINOv2 ViT-L's sizes: logits of 256 x 256 for an input
of 1024, regions with wavy edges, 1,813 patch tokens of 1,024 numbers. All else is as in a query.

- "seconds" are the processor's, so that other work on the machine hardly counts: regions, features,
  partition, classification, label map; reading, models and files aside.
- "at photo size": the same with every region computed at the photo's size
  (`benchmarks.speed.photo_size`), up to --compare megapixels; "other labels" is the share of pixels
  whose label differs.
- "memory": the peak of a process that reads the photo from a file and labels it, above what it had
  when its models were loaded. The result holds 3 bytes a pixel of the photo and 4 of the label map.
- "run lengths": seconds for the masks of all regions, when they are asked for.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter, zoom
from transformers import Dinov2Config, Dinov2Model

from benchmarks.command import add_rounds, environment, parser_of, result_table, write_json
from benchmarks.memory.process import peak, reset_peak
from benchmarks.speed.matchers import synthetic_bank
from benchmarks.speed.photo_size import label_at_photo_size
from foundation.interfaces import ImageEmbedding, MaskCandidates, Stack
from foundation.patch_features import PatchFeatures
from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import build_sam
from query.classification import Classifier
from query.labelling import PhotoLabeller
from query.proposals import propose
from query.regions import find_regions
from query.segmentation import cut_photo
from schemas.sections import SamArchitecture
from schemas.settings import Proposals, Settings, load_settings
from schemas.store.bank import BankFeatures

Photo = NDArray[np.uint8]

SIZES = {"1": (864, 1152), "6": (2121, 2828), "24": (4242, 5656), "100": (10_000, 10_000)}
"""(height, width) by megapixels."""

_REFERENCES = 20
_DIMENSION = 1024
_MIB = 1 << 20
_SAM = SamArchitecture(
    image_size=1024,
    patch_size=16,
    embed_dim=16,
    depth=1,
    num_heads=1,
    global_attn_indexes=(),
    window_size=14,
    out_chans=32,
    decoder_heads=1,
    decoder_mlp=16,
)


Result = TypeVar("Result")


@dataclass(frozen=True)
class PhotoCost:
    """One size of a photo. seconds: medians. memory: MiB. differing: share of the pixels."""

    megapixels: str
    height: int
    width: int
    regions: int
    seconds: float
    at_photo_size: float | None
    differing: float | None
    run_lengths: float
    memory: float


class WavyRegions(SamSegmenter):
    """SAM's sizes, and what it does to a photo; the masks are blobs around the prompt points."""

    def __init__(self, regions: int) -> None:
        super().__init__(build_sam(_SAM))
        self._regions = regions

    def predict(self, embedding: ImageEmbedding, points: NDArray[np.number]) -> MaskCandidates:
        """Gives one good mask for each of the first prompts, as many as there shall be regions."""
        rows, columns = (min(side + 1, self._low_side) for side in embedding.logit_size)
        logits = np.full((len(points), 3, rows, columns), -8, np.float32)
        scale = self._low_side / max(embedding.original_size)
        y, x = np.mgrid[:rows, :columns]
        for number, point in enumerate(points[:, 0]):
            random = np.random.default_rng(abs(int(point @ (7919, 104_729))))
            radius = self._low_side * np.exp(random.uniform(np.log(0.03), np.log(0.3)))
            stretch = np.exp(random.uniform(-0.5, 0.5))
            away = np.hypot((x - point[0] * scale) * stretch, (y - point[1] * scale) / stretch)
            waves = gaussian_filter(random.standard_normal((rows, columns)), 4)
            logits[number, 0] = 20 * (1 - away / radius) + 4 * waves / waves.std()
        good = torch.zeros(len(points), 3)
        good[: self._regions, 0] = 0.95
        return MaskCandidates(torch.from_numpy(logits), good)


class SmoothFeatures(PatchFeatures):
    """Photos are resized as for DINOv2; the tokens are drawn: smooth mixtures of directions."""

    def __init__(self, directions: NDArray[np.float32]) -> None:
        config = Dinov2Config(hidden_size=_DIMENSION, num_hidden_layers=0, patch_size=14)
        super().__init__(Dinov2Model(config).eval(), 518)
        self._directions = directions

    def _run(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        height, width = pixels.shape[2] // self._patch, pixels.shape[3] // self._patch
        random = np.random.default_rng(0)
        coarse = random.standard_normal((6, 8, len(self._directions)))
        mixture = zoom(coarse, (height / 6, width / 8, 1), order=1)
        mixture += random.standard_normal(mixture.shape) / 2
        tokens = np.maximum(mixture - 1, 0).reshape(-1, len(self._directions)) @ self._directions
        return np.asarray(tokens[None], np.float32)


@dataclass
class LargePhotoModels:
    """The stand-ins, a bank in memory, and the labeller that has it."""

    regions: int
    categories: int
    settings: Settings = field(default_factory=lambda: load_settings("paper"))

    @cached_property
    def proposals(self) -> Proposals:
        """One prompt a region, nothing fused or dropped."""
        grid = int(np.ceil(np.sqrt(self.regions)))
        change = {"grid": grid, "points_per_batch": grid * grid, "fuse": 1.0, "nms": 1.0}
        change |= {"min_area": 0.0, "min_stability": 0.0}
        return self.settings.proposals.model_copy(update=change)

    @cached_property
    def segmenter(self) -> WavyRegions:
        """The segmenter, at SAM's sizes."""
        return WavyRegions(self.regions)

    @cached_property
    def features(self) -> SmoothFeatures:
        """The feature model, at DINOv2 ViT-L's sizes."""
        return SmoothFeatures(self._bank[1])

    def activate(self, role: str) -> None:
        """Does nothing: the stand-ins take little memory."""

    def within_memory(self, work: Callable[[], Result]) -> Result:
        """Runs work, once."""
        return work()

    @cached_property
    def labeller(self) -> PhotoLabeller:
        """Labels with a bank that has equally many references of every category."""
        matching = self.settings.matching
        return PhotoLabeller(Classifier(self._bank[0], matching), matching)

    @cached_property
    def _bank(self) -> tuple[BankFeatures, NDArray[np.float32]]:
        return synthetic_bank(self.categories, _REFERENCES, _DIMENSION)


def measure(
    models: LargePhotoModels, megapixels: str, rounds: int, compare: bool, work: Path
) -> PhotoCost:
    """Measures seconds and memory of one size."""
    height, width = SIZES[megapixels]
    photo = draw_photo((height, width))
    memory = memory_of(models, photo, work)
    (tokens,) = models.features.extract([photo])
    embedding = models.segmenter.embed(photo)
    proposals = propose(models.segmenter, embedding, models.proposals)
    logits = proposals.united_logits([(i,) for i in range(len(proposals.masks))])
    cut = partial(find_regions, logits, models.segmenter, embedding, photo, tokens)
    models.labeller.label(cut())
    seconds = [_seconds(lambda: models.labeller.label(cut())) for _ in range(rounds)]
    segmented = cut()
    _, labels = models.labeller.label(segmented)
    run_lengths = _seconds(lambda: [one.mask.rle for one in segmented.regions])
    seconds_before = differing = None
    if compare:
        before = partial(
            label_at_photo_size,
            models.segmenter,
            embedding,
            logits,
            tokens,
            models.labeller.classifier,
            models.settings.matching,
        )
        found = []
        seconds_before = _seconds(lambda: found.append(before()))
        differing = float(np.mean(found[0].labels != labels))
    regions = len(segmented.regions)
    return PhotoCost(
        megapixels,
        height,
        width,
        regions,
        float(np.median(seconds)),
        seconds_before,
        differing,
        run_lengths,
        memory,
    )


def _seconds(way: Callable[[], object]) -> float:
    """Seconds of the processor that one call takes."""
    started = time.process_time()
    way()
    return time.process_time() - started


def draw_photo(size: tuple[int, int]) -> Photo:
    """A photo (H, W, 3) of smooth colours."""
    coarse = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    drawn = Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(drawn, np.uint8)


def memory_of(models: LargePhotoModels, photo: Photo, work: Path) -> float:
    """The peak of a process that labels the photo from a file, in MiB above its models."""
    file = work / "photo.jpg"
    Image.fromarray(photo).save(file, quality=90)
    sizes = [f"--regions={models.regions}", f"--categories={models.categories}"]
    module = "benchmarks.speed.large_photos"
    command = [sys.executable, "-m", module, f"--label={file}", *sizes]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
    return float(done.stdout)


def label_file(models: LargePhotoModels, file: Path) -> float:
    """Labels a photo as a query does; returns the peak in MiB above the memory before."""
    segmenter, features, labeller = models.segmenter, models.features, models.labeller
    warm = np.zeros((64, 64, 3), np.uint8)
    features.extract([warm]), segmenter.embed(warm), labeller.classifier.threshold
    before = reset_peak()
    segmented = cut_photo(file, cast(Stack, models), models.proposals)
    _, labels = labeller.label(segmented)
    assert labels.shape == segmented.pixels.shape[:2]
    return (peak() - before) / _MIB


def table_of(rows: Sequence[PhotoCost]) -> Table:
    """The rows as a table for a terminal."""
    columns = ["photo", "regions", "seconds", "to 1 MP", "at photo size", "other labels"]
    table = result_table("", [*columns, "run lengths", "memory"])
    for row in rows:
        whole, differing = row.at_photo_size, row.differing
        table.add_row(
            f"{row.megapixels} MP, {row.width} x {row.height}",
            str(row.regions),
            f"{row.seconds:.2f} s",
            f"{row.seconds / rows[0].seconds:.2f}",
            "" if whole is None else f"{whole:.1f} s",
            "" if differing is None else f"{differing:.1e}",
            f"{row.run_lengths:.2f} s",
            f"{row.memory:,.0f} MiB",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table; `arguments` are the command line's."""
    parser = parser_of(__doc__)
    add_rounds(parser, 3)
    add = parser.add_argument
    add("--regions", type=int, default=60)
    add("--categories", type=int, default=150)
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="megapixels")
    add("--compare", type=float, default=24, help="megapixels up to which all is done both ways")
    add("--label", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    models = LargePhotoModels(options.regions, options.categories)
    if options.label:
        print(label_file(models, options.label))
        return
    console = Console()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        for size in options.sizes:
            compare = float(size) <= options.compare
            rows.append(measure(models, size, options.rounds, compare, Path(work)))
            console.print(rows[-1])
    console.print(table_of(rows))
    write_json(options.json, rows)


if __name__ == "__main__":
    main()
