"""Stand-ins for the four models: coloured rectangles, made and segmented within microseconds.

An image of a category is a rectangle of the category's colour on grey. The attention lies on the
rectangle, the segmenter answers with all pixels that have the colour under the first point, and a
patch's token is a fixed random projection of its mean colour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bank_builder.build import prepare_addition
from bank_builder.report import BuildReport, Progress
from bank_builder.sources.base import Source
from bank_builder.sources.diffusion import GENERATED
from foundation.interfaces import GeneratedImage, ImageEmbedding, MaskCandidates, Prompt
from schemas.records import ModelRecord
from schemas.settings import Settings

SIZE = 32
ATTENTION = 8
GRID = 8
DIMENSION = 12
GREY = 90
ROLES = ("text_to_image", "segmenter", "features", "text_image")


def settings(**generation: object) -> Settings:
    """Settings for 4 images a category in batches of 2 and shards of 3; any can be changed."""
    source = {"location": "nowhere"}
    values = {"images_per_category": 4, "batch_size": 2, "height": SIZE, "width": SIZE}
    return Settings.model_validate(
        {
            "preset": "stand-in",
            "models": {
                "text_to_image": source,
                "segmenter": source | {"architecture": "vit_b"},
                "features": source,
                "text_image": source,
            },
            "generation": values | generation,
            "build": {"shard_images": 3},
        }
    )


def colour_of(name: str) -> NDArray[np.uint8]:
    """A category's colour, far from grey."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.array([128 + byte // 2 if byte % 2 else byte // 4 for byte in digest[:3]], np.uint8)


def noise(seed: int) -> np.random.Generator:
    """Where the randomness of one image comes from."""
    return np.random.default_rng(seed)


@dataclass
class StandInPainter:
    """Text-to-image. What it does to single images can be set by category name.

    flat: the attention is the same everywhere. astray: it is a spot beside the rectangle.
    flagged, odd, filled: called with each seed; whether the image is black, of an odd colour, or
    all of the category's colour though the attention lies on the rectangle.
    before: called before each image, and may raise.
    """

    flat: frozenset[str] = frozenset()
    astray: frozenset[str] = frozenset()
    flagged: Callable[[int], bool] = lambda seed: False
    odd: Callable[[int], bool] = lambda seed: False
    filled: Callable[[int], bool] = lambda seed: False
    before: Callable[[Prompt, int], None] = lambda prompt, seed: None
    batches: list[list[str]] = field(default_factory=list)

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[GeneratedImage]:
        """One image a prompt."""
        self.batches.append([prompt.name for prompt in prompts])
        return [self._paint(*pair) for pair in zip(prompts, seeds, strict=True)]

    @property
    def image_count(self) -> int:
        """Number of images that were asked for."""
        return sum(map(len, self.batches))

    def _paint(self, prompt: Prompt, seed: int) -> GeneratedImage:
        self.before(prompt, seed)
        name = prompt.name
        image = np.full((SIZE, SIZE, 3), GREY, np.uint8)
        attention = np.full((ATTENTION, ATTENTION), 0.1, np.float32)
        if self.flagged(seed):
            return GeneratedImage(np.zeros_like(image), attention, True)
        row, column = noise(seed).integers(0, ATTENTION // 2, 2)
        block = (slice(row, row + 4), slice(column, column + 4))
        cell = SIZE // ATTENTION
        if name in self.flat or self.filled(seed):
            image[:] = colour_of(name)
        else:
            large = tuple(slice(part.start * cell, part.stop * cell) for part in block)
            image[large] = 255 - colour_of(name) if self.odd(seed) else colour_of(name)
        if name not in self.flat:
            attention[block] = 0.9
        if name in self.astray:
            attention[:] = 0.1
            attention[(row + 5) % ATTENTION, (column + 5) % ATTENTION] = 0.9
        return GeneratedImage(image, attention, False)


class StandInSegmenter:
    """Three masks: the colour under the first point, a speck there, and nothing."""

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None

    def embed(self, image: NDArray[np.uint8]) -> ImageEmbedding:
        """Keeps the image."""
        self.before()
        size = (image.shape[0], image.shape[1])
        return ImageEmbedding(torch.from_numpy(image.astype(np.int64)), size, size, size)

    def predict(self, embedding: ImageEmbedding, points: NDArray[np.float32]) -> MaskCandidates:
        """Logits of +1 and -1."""
        x, y = points[0, 0].astype(int)
        image = embedding.features
        masks = torch.zeros((3, *embedding.original_size), dtype=torch.bool)
        masks[0] = (image == image[y, x]).all(dim=2)
        masks[1, y, x] = True
        return MaskCandidates(masks[None] * 2.0 - 1.0, torch.tensor([[0.8, 0.9, 0.7]]))

    def upsample(self, embedding: ImageEmbedding, logits: torch.Tensor) -> NDArray[np.bool_]:
        """The sign."""
        masks: NDArray[np.bool_] = (logits > 0).numpy()
        return masks


class StandInExtractor:
    """Patch tokens: projected mean colours."""

    dimension = DIMENSION

    def __init__(self) -> None:
        self.before: Callable[[NDArray[np.uint8]], None] = lambda image: None
        self._projection = noise(0).normal(size=(3, DIMENSION))

    def extract(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """(GRID, GRID, DIMENSION) an image."""
        tokens = []
        for image in images:
            self.before(image)
            cell = len(image) // GRID
            means = image.reshape(GRID, cell, GRID, cell, 3).mean(axis=(1, 3)) / 128 - 1
            tokens.append((means @ self._projection).astype(np.float32))
        return tokens


@dataclass
class StandInStack:
    """All models of a build; `weights` stands for the files they were loaded from.

    fits: the largest batch. activated: the roles that were asked for in turn.
    """

    text_to_image: StandInPainter = field(default_factory=StandInPainter)
    segmenter: StandInSegmenter = field(default_factory=StandInSegmenter)
    features: StandInExtractor = field(default_factory=StandInExtractor)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    weights: str = "0" * 64
    works_ahead: bool = False
    fits: int = 1000
    activated: list[str] = field(default_factory=list)

    def load(
        self, roles: Sequence[str] = ROLES, on_role: Callable[[str], None] = lambda role: None
    ) -> None:
        """Tells the roles, and asks for each model: one that is broken raises its error."""
        for role in roles:
            on_role(role)
            getattr(self, role, None)

    def batch_that_fits(
        self, most: int, roles: Sequence[str] = ROLES, image_size: tuple[int, int] | None = None
    ) -> int:
        """At most `fits`."""
        return min(most, self.fits)

    def can_take_less(self, batch: int) -> bool:
        """Down to batches of one image."""
        return batch > 1

    def take_less(self, batch: int) -> int:
        """The half."""
        return batch // 2

    def activate(self, role: str) -> None:
        """Notes the role."""
        self.activated.append(role)

    def fingerprints(self, roles: Sequence[str] = ROLES) -> dict[str, ModelRecord]:
        """One record for each role."""
        record = ModelRecord(name="stand-in", licence="none", fingerprint=self.weights)
        return dict.fromkeys(roles, record)


def add_categories(
    names: Sequence[str],
    out: Path,
    models: StandInStack,
    *,
    source: Source = GENERATED,
    progress: Progress | None = None,
) -> BuildReport:
    """Adds categories to a finished bank."""
    return prepare_addition(names, out, source=source).run(models, progress)


def shard_bytes(out: Path) -> dict[str, bytes]:
    """Every Parquet file of every shard."""
    files = (out / "shards").glob("*/*.parquet")
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


def on_call(number: int, error: BaseException) -> Callable[[Prompt, int], None]:
    """Raises an error before the image of that number (from 0), counted over all."""
    calls = iter(range(10**6))

    def before(prompt: Prompt, seed: int) -> None:
        if next(calls) == number:
            raise error

    return before


def on_seeds(*seeds: int) -> Callable[[Prompt, int], None]:
    """Raises an error for the images of these seeds."""

    def before(prompt: Prompt, seed: int) -> None:
        if seed in seeds:
            raise RuntimeError(f"no image for {prompt.name}\nand more lines")

    return before
