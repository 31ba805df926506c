"""A world of plain colours: stand-ins that segment by colour and whose features are colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from foundation.interfaces import ImageEmbedding, MaskCandidates, PatchExtractor, Result, Segmenter
from foundation.weights.model_files import fingerprint
from foundation.weights.roles import PHOTO_ROLES
from schemas.records import ModelRecord
from schemas.settings import Settings, load_settings
from schemas.store.bank import StoredBank
from tests.query.examples import reference_row, write_bank

COLOURS = {"poppy": (220, 20, 30), "grass": (30, 200, 40), "sea": (20, 40, 230)}
IDS = {"poppy": 2, "grass": 3, "sea": 8}
PATCH = 8
_PROJECTION = np.random.default_rng(0).normal(size=(3, 16))


def token(colour: NDArray[Any]) -> NDArray[np.float32]:
    """(..., 16) float32 of colours (..., 3)."""
    return np.asarray((colour / 128 - 1) @ _PROJECTION, dtype=np.float32)


class ColourSegmenter:
    """Masks of the colour under each point, at half the photo's resolution.

    The second mask of a prompt is bad and covers everything, the third is empty.
    """

    def embed(self, image: NDArray[np.uint8]) -> ImageEmbedding:
        small = torch.from_numpy(image[::2, ::2].astype(np.int64))
        size = (image.shape[0], image.shape[1])
        return ImageEmbedding(small, size, size, (small.shape[0], small.shape[1]))

    def predict(self, embedding: ImageEmbedding, points: NDArray[np.number]) -> MaskCandidates:
        small = embedding.features
        logits = torch.full((len(points), 3, *small.shape[:2]), -8.0)
        for prompt, (x, y) in enumerate(points[:, 0]):
            colour = small[int(y) // 2, int(x) // 2]
            logits[prompt, 0][(small == colour).all(dim=2)] = 8.0
        logits[:, 1] = 8.0
        return MaskCandidates(logits, torch.tensor([[0.9, 0.1, 0.9]]).repeat(len(points), 1))

    def working_logits(
        self, embedding: ImageEmbedding, logits: torch.Tensor
    ) -> NDArray[np.float32]:
        large = torch.nn.functional.interpolate(logits[None], embedding.working_size)[0]
        return np.asarray(large.numpy())


class ColourFeatures:
    """Tokens of the mean colours of patches."""

    def extract(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        tokens = []
        for image in images:
            rows, columns = image.shape[0] // PATCH, image.shape[1] // PATCH
            patches = image.reshape(rows, PATCH, columns, PATCH, 3).mean(axis=(1, 3))
            tokens.append(token(patches))
        return tokens


@dataclass
class ColourStack:
    """The models, and the files that they pretend to be loaded from."""

    folder: Path
    settings: Settings = field(default_factory=lambda: load_settings("paper"))
    segmenter: Segmenter = field(default_factory=ColourSegmenter)
    features: PatchExtractor = field(default_factory=ColourFeatures)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for role in PHOTO_ROLES:
            self.path(role).write_text(f"weights of {role}")

    def activate(self, role: str) -> None: ...

    def within_memory(self, work: Callable[[], Result]) -> Result:
        return work()

    def path(self, role: str) -> Path:
        return self.folder / f"{role}.pth"

    def fingerprints(self, roles: Sequence[str] = PHOTO_ROLES) -> dict[str, ModelRecord]:
        return {
            role: ModelRecord(
                name=f"colour {role}", licence="none", fingerprint=fingerprint(self.path(role))
            )
            for role in roles
        }


def colour_bank(path: Path, stack: ColourStack) -> StoredBank:
    """Three references a colour, each a little off; on the background of the next colour."""
    rng = np.random.default_rng(1)
    names = list(COLOURS)
    rows = {}
    for position, name in enumerate(names):
        other = token(np.array(COLOURS[names[position - 1]]))
        rows[name] = [
            reference_row(
                IDS[name],
                name,
                number,
                _unit(token(np.array(COLOURS[name]) + rng.normal(size=3) * 8)),
                _unit(other),
            )
            for number in range(3)
        ]
    return write_bank(path, rows, settings=stack.settings, models=stack.fingerprints())


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
