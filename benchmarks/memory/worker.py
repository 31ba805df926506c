"""The processes that `benchmarks.memory.growth` watches: one builds a bank, or labels photos.

Only the models are stand-ins, and the PNG files of the generated images are chosen from a few made
beforehand; everything else is what `rim build` and `rim query` run, at the sizes of a real bank.
Each is a fork of one process whose imports are done. Before its work it writes the memory that it
has into WORK/start.json.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from bank_builder.build import build_bank
from bank_builder.sources.base import Made, Origin, SourceImage
from bank_builder.sources.diffusion import DiffusionSource, GeneratedImages
from benchmarks.memory.process import memory_of
from foundation.images.reading import encode_png
from foundation.interfaces import BuildStack, ImageEmbedding, MaskCandidates, Result
from foundation.weights.model_files import fingerprint
from rim.cli.main import main as rim_main
from schemas.manifest import BuildPlan
from schemas.records import ModelRecord
from schemas.settings import Settings, load_settings
from schemas.store.shards import ShardSpec
from schemas.vocabulary import vocabulary_from_names

Image = NDArray[np.uint8]

PATCH = 14
IMAGE_POOL = 16  # more than a group of a shard, so that no file gets smaller by repeats
START = "start.json"
_DIVISOR = 4  # of a photo's size, the size of the segmenter's logits
_PARTS = (4, 8, 16)


@dataclass(frozen=True)
class Sizes:
    """One bank. images: of each category. dimension: of a feature. pixels: side of an image.
    grid: prompt points a side of a photo.
    """

    categories: int
    images: int
    dimension: int
    pixels: int
    grid: int

    @property
    def settings(self) -> Settings:
        """The paper's, at these sizes."""
        return load_settings(
            "paper",
            [
                f"generation.images_per_category={self.images}",
                f"generation.height={self.pixels}",
                f"generation.width={self.pixels}",
                f"proposals.grid={self.grid}",
            ],
        )


def noise(seed: int, side: int) -> Image:
    """An image of pure noise: no PNG of that size is larger."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


@dataclass(frozen=True)
class NoiseFeatures:
    """Patch tokens: a direction by the first pixel, and noise that the second one shifts."""

    dimension: int
    side: int

    def extract(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """(side, side, dimension) an image."""
        noise = np.random.default_rng(0).standard_normal(
            (self.side, self.side, self.dimension), np.float32
        )
        return [self._tokens(image, noise) for image in images]

    def _tokens(self, image: Image, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        hub = np.random.default_rng(image[0, 0]).standard_normal(self.dimension, np.float32)
        turned = np.roll(noise, int(image[0, 1, 0]), axis=0)
        own = np.random.default_rng(image[0, 1]).standard_normal(self.dimension, np.float32)
        return np.asarray(turned + 3 * hub + 2 * own, np.float32)


class Rectangles:
    """A segmenter that finds squares of three sizes around every point."""

    def embed(self, image: Image) -> ImageEmbedding:
        """Remembers the size alone."""
        size = (image.shape[0], image.shape[1])
        logits = (size[0] // _DIVISOR, size[1] // _DIVISOR)
        return ImageEmbedding(torch.empty(0), size, size, logits)

    def predict(self, embedding: ImageEmbedding, points: NDArray[np.number]) -> MaskCandidates:
        """Logits of +8 and -8."""
        height, width = embedding.logit_size
        x, y = (points[:, 0] / _DIVISOR).T
        masks = np.full((len(points), len(_PARTS), height, width), -8, np.float32)
        for number, part in enumerate(_PARTS):
            rows = np.abs(np.arange(height) - y[:, None]) <= height / part / 2
            columns = np.abs(np.arange(width) - x[:, None]) <= width / part / 2
            masks[:, number][rows[:, :, None] & columns[:, None, :]] = 8
        quality = torch.full((len(points), len(_PARTS)), 0.95)
        return MaskCandidates(torch.from_numpy(masks), quality)

    def upsample(self, embedding: ImageEmbedding, logits: torch.Tensor) -> NDArray[np.bool_]:
        """The sign of the nearest logit."""
        return self.working_logits(embedding, logits) > 0

    def working_logits(
        self, embedding: ImageEmbedding, logits: torch.Tensor
    ) -> NDArray[np.float32]:
        """Enlarges by the nearest logit."""
        large = torch.nn.functional.interpolate(logits[None], embedding.working_size)[0]
        return np.asarray(large.numpy())


@dataclass
class NoiseModels:
    """All models, and the files that they seem to be loaded from."""

    sizes: Sizes
    folder: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    works_ahead: bool = False
    text_to_image: object = None
    segmenter: Rectangles = field(default_factory=Rectangles)
    text_image: object = None

    @property
    def settings(self) -> Settings:
        """The settings of the bank."""
        return self.sizes.settings

    @property
    def features(self) -> NoiseFeatures:
        """The feature model, at DINOv2's patch size."""
        return NoiseFeatures(self.sizes.dimension, max(2, self.sizes.pixels // PATCH))

    def load(
        self, roles: Sequence[str] = (), on_role: Callable[[str], None] = lambda role: None
    ) -> None:
        """Nothing has to be loaded."""

    def batch_that_fits(
        self, most: int, roles: Sequence[str] = (), image_size: tuple[int, int] | None = None
    ) -> int:
        """The number that is asked for."""
        return most

    def can_take_less(self, batch: int) -> bool:
        """Says that it never can."""
        return False

    def take_less(self, batch: int) -> int:
        """The same batch."""
        return batch

    def within_memory(self, work: Callable[[], Result]) -> Result:
        """Runs work, once."""
        return work()

    def activate(self, role: str) -> None:
        """Moves nothing."""

    def path(self, role: str) -> Path:
        """A file with the role's name in it."""
        path = self.folder / role
        path.write_text(role, encoding="utf-8")
        return path

    def fingerprints(self, roles: Sequence[str]) -> dict[str, ModelRecord]:
        """The records of those files."""
        return {
            role: ModelRecord(name=role, licence="none", fingerprint=fingerprint(self.path(role)))
            for role in roles
        }


@dataclass(frozen=True)
class NoiseImages(GeneratedImages):
    """Noise with a mask in its middle; the first pixels say which image of which category."""

    def make(
        self, spec: ShardSpec, numbers: Sequence[int], models: BuildStack, *, divisible: bool
    ) -> list[Made]:
        """Makes as many images as are asked for."""
        side = self.settings.generation.height
        mask = np.zeros((side, side), bool)
        mask[side // 4 : side // 2, side // 4 : side // 4 * 3] = True
        return [
            (self._origin(spec, one), SourceImage(_drawn(spec, one, side), mask)) for one in numbers
        ]

    def _origin(self, spec: ShardSpec, number: int) -> Origin:
        return Origin(spec.category_id, spec.category, number, spec.source)


class NoiseSource(DiffusionSource):
    """A source of such images."""

    def images(self, plan: BuildPlan, settings: Settings) -> NoiseImages:
        """The images of a plan, K of every category."""
        return NoiseImages(plan.images_per_category, settings)


def _drawn(spec: ShardSpec, number: int, side: int) -> Image:
    image = noise(number % IMAGE_POOL, side)
    image[0, 0] = (number % IMAGE_POOL, *divmod(spec.category_id, 256))
    image[0, 0, 0] = 0
    image[0, 1] = (number % 256, number // 256, number % IMAGE_POOL)
    return image


def build(work: Path, sizes: Sizes) -> None:
    """Builds WORK/bank."""
    pool = [encode_png(noise(seed, sizes.pixels)) for seed in range(IMAGE_POOL)]

    def drawn_png(image: Image) -> bytes:
        return pool[int(image[0, 1, 2])]

    names = [f"category {number}" for number in range(sizes.categories)]
    models = NoiseModels(sizes, work)
    write_memory(work / START)
    with patch("bank_builder.reference.encode_png", drawn_png):
        build_bank(
            vocabulary_from_names(names),
            work / "bank",
            sizes.settings,
            models,  # type: ignore[arg-type]  # there is no text-to-image model
            source=NoiseSource(),
        )


def query(work: Path, sizes: Sizes, photos: Path) -> None:
    """Labels the folder of photos with WORK/bank, as `rim query` does."""
    import rim.cli.commands.query  # noqa: F401  # a command's imports are no growth

    def stand_ins(settings: Settings, device: str, offline: bool, **_: object) -> NoiseModels:
        return NoiseModels(sizes, work)

    write_memory(work / START)
    with patch("foundation.stack.ModelStack", stand_ins):
        rim_main(["query", str(work / "bank"), str(photos), "--out", str(work / "labels")])


def write_memory(path: Path) -> None:
    """Writes the memory of this process, in bytes; see `benchmarks.memory.process.memory_of`."""
    found = memory_of(os.getpid())
    path.write_text(json.dumps(None if found is None else asdict(found)), encoding="utf-8")


def work(kind: str, folder: Path, sizes: Sizes, photos: Path) -> None:
    """Does what the kind says."""
    if kind == "build":
        build(folder, sizes)
    else:
        query(folder, sizes, photos)


def main() -> None:
    """Forks for each line of standard input; answers with the process's id and, later, status."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        kind, folder, sizes, photos = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            os._exit(_status(partial(work, kind, Path(folder), Sizes(**sizes), Path(photos))))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _status(doing: Callable[[], None]) -> int:
    """The exit status of a process that does this."""
    try:
        doing()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
