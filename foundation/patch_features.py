"""DINO patch tokens of whole images, the space in which regions are compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel

from foundation.images.preprocessing import (
    IMAGENET,
    Normalisation,
    check_image,
    read_normalisation,
    resize,
)
from foundation.loading import load_network
from schemas.errors import ModelError
from schemas.settings import Settings

_KINDS = ("dinov2", "dinov2_with_registers", "dinov3_vit")

# A strip longer than this many short sides is scaled by its long side instead.
MAX_ASPECT = 4


def load(path: Path, settings: Settings, device: torch.device) -> PatchFeatures:
    """Loads the feature model of a stack.

    Args:
        path: a folder of transformers.
        settings: of a preset or a bank; `features.size` counts.
        device: where it shall run.

    Raises:
        ModelError: the folder has another kind of model, or lacks weights.
    """
    model = load_network(AutoModel, path, "features", trust_remote_code=False).to(device)
    if model.config.model_type not in _KINDS:
        raise ModelError(
            f"models.features: expected a DINOv2 or DINOv3 transformer in {path}, "
            f"found {model.config.model_type}; correct models.features.location"
        )
    normalisation = read_normalisation(path, IMAGENET)
    return PatchFeatures(model, settings.features.size, normalisation)


class PatchFeatures:
    """Computes patch tokens by a Dinov2Model (also with registers) or a DINOv3ViTModel.

    Args:
        model: the model in evaluation mode on its device.
        size: the short side, in pixels, that images are resized to.
        normalisation: of the pixel values.
        batch_size: images of one size that go through the model at a time.
    """

    def __init__(
        self,
        model: Any,
        size: int,
        normalisation: Normalisation = IMAGENET,
        batch_size: int = 8,
    ) -> None:
        self._model = model
        self._size = size
        self._normalisation = normalisation
        self._whole_batch = self._batch_size = batch_size
        self._patch = int(model.config.patch_size)
        # The class token, then the registers, come before the patches.
        self._prefix = 1 + int(getattr(model.config, "num_register_tokens", 0))

    @property
    def dimension(self) -> int:
        """Length d of a token."""
        return int(self._model.config.hidden_size)

    def to(self, device: torch.device) -> None:
        """Moves the model."""
        self._model.to(device)

    def divide(self, parts: int) -> None:
        """From now on works on a batch in so many parts, which takes less memory."""
        self._batch_size = max(1, self._whole_batch // parts)

    def grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(gh, gw): how many patches an image of (height, width) is cut into.

        The short side is scaled to `size` with the aspect kept, then both sides are rounded to
        whole patches, at least one. So that a thin strip does not become thousands of patches,
        the long side is never scaled beyond `MAX_ASPECT` times `size`.
        """
        scale = min(self._size / min(image_size), MAX_ASPECT * self._size / max(image_size))
        height, width = (max(1, int(side * scale / self._patch + 0.5)) for side in image_size)
        return height, width

    @torch.inference_mode()
    def extract(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        """Computes the patch tokens of each image: the normalised last layer's.

        Images that are cut into the same grid go through the model together.

        Args:
            images: uint8 (H, W, 3) RGB each, of any sizes.

        Returns:
            For each image float32 (gh, gw, d), in the order given, not L2-normalised.

        Raises:
            ImageError: an image of another shape or type.
        """
        by_grid: dict[tuple[int, int], list[int]] = defaultdict(list)
        prepared = []
        for index, image in enumerate(images):
            check_image(image)
            grid = self.grid((image.shape[0], image.shape[1]))
            size = (grid[0] * self._patch, grid[1] * self._patch)
            prepared.append(self._normalisation.apply(resize(image, size)))
            by_grid[grid].append(index)
        tokens: dict[int, npt.NDArray[np.float32]] = {}
        for grid, indices in by_grid.items():
            for start in range(0, len(indices), self._batch_size):
                batch = indices[start : start + self._batch_size]
                output = self._run(torch.cat([prepared[index] for index in batch]))
                for index, patches in zip(batch, output, strict=True):
                    tokens[index] = patches.reshape(*grid, -1)
        return [tokens[index] for index in range(len(images))]

    def _run(self, pixels: torch.Tensor) -> npt.NDArray[np.float32]:
        """(B, 3, H, W) to float32 (B, patches, d) in row-major order of the patches."""
        hidden = self._model(pixel_values=pixels.to(self._model.device)).last_hidden_state
        patches: npt.NDArray[np.float32] = hidden[:, self._prefix :].float().cpu().numpy()
        return patches
