"""CLIP embeddings of texts and images in one space, where their cosine says how well they fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoTokenizer, CLIPModel

from foundation.images.preprocessing import (
    CLIP,
    Normalisation,
    check_image,
    read_normalisation,
    resize,
)
from foundation.loading import load_network


def load(path: Path, device: torch.device) -> ClipScorer:
    """Loads the text-image model of a stack.

    Args:
        path: a folder of transformers with a CLIPModel and its tokenizer.
        device: where it shall run.

    Raises:
        ModelError: the folder lacks weights.
    """
    model = load_network(CLIPModel, path, "text_image", trust_remote_code=False).to(device)
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    return ClipScorer(model, tokenizer, read_normalisation(path, CLIP))


class ClipScorer:
    """Computes embeddings by a transformers CLIPModel.

    Args:
        model: the model in evaluation mode on its device.
        tokenizer: its tokenizer.
        normalisation: of the pixel values.
        batch_size: texts or images that go through the model at a time.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        normalisation: Normalisation = CLIP,
        batch_size: int = 64,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._normalisation = normalisation
        self._whole_batch = self._batch_size = batch_size
        self._side = int(model.config.vision_config.image_size)

    @property
    def dimension(self) -> int:
        """Length d of an embedding."""
        return int(self._model.config.projection_dim)

    def to(self, device: torch.device) -> None:
        """Moves the model."""
        self._model.to(device)

    def divide(self, parts: int) -> None:
        """From now on works on a batch in so many parts, which takes less memory."""
        self._batch_size = max(1, self._whole_batch // parts)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 (n, d), L2-normalised. A text beyond the encoder's length is cut off there."""
        rows = []
        for start in range(0, len(texts), self._batch_size):
            tokens = self._tokenizer(
                list(texts[start : start + self._batch_size]),
                padding=True,
                truncation=True,
                max_length=self._model.config.text_config.max_position_embeddings,
                return_tensors="pt",
            ).to(self._model.device)
            output = self._model.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
            rows.append(output.pooler_output)
        return self._normalised(rows)

    @torch.inference_mode()
    def embed_images(self, images: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """float32 (n, d), L2-normalised; of each image CLIP sees the square in the middle.

        Args:
            images: uint8 (H, W, 3) RGB each, of any sizes.

        Raises:
            ImageError: an image of another shape or type.
        """
        rows = []
        for start in range(0, len(images), self._batch_size):
            batch = [self._prepare(image) for image in images[start : start + self._batch_size]]
            pixels = torch.cat(batch).to(self._model.device)
            rows.append(self._model.get_image_features(pixel_values=pixels).pooler_output)
        return self._normalised(rows)

    def _prepare(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Centre square of the image at the model's resolution: float32 (1, 3, side, side)."""
        check_image(image)
        height, width = image.shape[:2]
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        square = image[top : top + short, left : left + short]
        return self._normalisation.apply(resize(square, (self._side, self._side)))

    def _normalised(self, rows: list[torch.Tensor]) -> npt.NDArray[np.float32]:
        if not rows:
            return np.zeros((0, self.dimension), np.float32)
        unit = torch.nn.functional.normalize(torch.cat(rows).float(), dim=-1)
        embeddings: npt.NDArray[np.float32] = unit.cpu().numpy()
        return embeddings
