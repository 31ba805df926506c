"""References made by stock calls, one image after another, as published code does.

diffusers' pipeline with attention processors that store every cross-attention probability, as
prompt-to-prompt's store and its many descendants do; segment-anything's `SamPredictor`;
transformers' DINOv2 behind its own image processor; pooling in numpy; PNG and npy files. How
attention becomes points, and which mask is kept, is rim's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from numpy.typing import NDArray
from PIL import Image
from segment_anything import SamPredictor
from torch import nn
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModel

from bank_builder.localise import localise
from bank_builder.points import sample_points
from foundation.images.masks import mask_iou
from foundation.interfaces import Prompt
from foundation.sam_checkpoint import load_sam
from foundation.stack import ModelStack
from foundation.text_to_image import category_token_indices
from foundation.text_to_image_loading import load_pipeline
from schemas.settings import Settings


class FullAttention:
    """The cross-attention probabilities of a UNet that makes one image, summed over steps.

    They are computed in full: each layer has a sum of (heads, pixels, tokens).
    """

    def __init__(self, unet: nn.Module) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        for name, module in unet.named_modules():
            if name.endswith("attn2"):
                module.set_processor(AttnProcessor())
                module.get_attention_scores = self._summing(name, module)
        self._calls = 0

    def reset(self) -> None:
        """Forgets everything, before the next image."""
        self._sums.clear()
        self._calls = 0

    def map(self, tokens: Sequence[int], aspect: float) -> NDArray[np.float32]:
        """Mean over layers, heads, steps and `tokens`, (h, w) float32 on the finest grid.

        aspect: height over width.
        """
        finest = _grid(max(sums.shape[1] for sums in self._sums.values()), aspect)
        total = torch.zeros(finest)
        for sums in self._sums.values():
            grid = _grid(sums.shape[1], aspect)
            columns = sums[:, :, list(tokens)].mean(-1).view(1, -1, *grid)
            resized = F.interpolate(columns, finest, mode="bilinear", align_corners=False)
            total += resized[0].sum(0).cpu()
        mean: NDArray[np.float32] = (total / self._calls).numpy()
        return mean

    def _summing(self, name: str, attention: Any) -> Any:
        scores = attention.get_attention_scores

        def add(*args: Any, **kwargs: Any) -> torch.Tensor:
            probabilities: torch.Tensor = scores(*args, **kwargs)
            # With guidance the unconditional half comes first.
            conditional = probabilities[-attention.heads :].float()
            self._sums[name] = self._sums[name] + conditional if name in self._sums else conditional
            self._calls += attention.heads
            return probabilities

        return add


@dataclass(frozen=True)
class StockReference:
    """One image with its mask and features.

    image: uint8 (H, W, 3). attention: float32 (h, w). mask: bool (H, W). features: float32 (2, d),
    of the mask and of the rest, L2-normalised.
    """

    image: NDArray[np.uint8]
    attention: NDArray[np.float32]
    mask: NDArray[np.bool_]
    features: NDArray[np.float32]


class StockReferences:
    """Makes and writes references with models of its own, of the same weights and types.

    Args:
        stack: says which models, and where they run.
    """

    def __init__(self, stack: ModelStack) -> None:
        settings, device = stack.settings, stack.device
        dtype = torch.float16 if device.type == "cuda" else torch.float32
        self.pipeline = load_pipeline(stack.path("text_to_image"), device)
        if dtype != torch.float32:
            self.pipeline.to(dtype)
        self.pipeline.set_progress_bar_config(disable=True)
        self._attention = FullAttention(self.pipeline.unet)
        sam = load_sam(settings.models.segmenter, stack.path("segmenter")).to(device)
        self._predictor = SamPredictor(sam)
        folder, side = stack.path("features"), settings.features.size
        # The whole image at the size that rim looks at.
        self._processor = AutoImageProcessor.from_pretrained(
            folder, size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )
        self._dino = AutoModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()
        self._settings: Settings = settings

    @torch.inference_mode()
    def make(self, prompt: Prompt, seed: int) -> StockReference:
        """Makes one reference, of a square image."""
        generation = self._settings.generation
        self._attention.reset()
        drawn = self.pipeline(
            prompt.text,
            height=generation.height,
            width=generation.width,
            num_inference_steps=generation.steps,
            guidance_scale=generation.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
        ).images[0]
        tokens = category_token_indices(self.pipeline.tokenizer, prompt)
        attention = self._attention.map(tokens, generation.height / generation.width)
        image = np.array(drawn)
        mask = self._mask(image, attention)
        return StockReference(image, attention, mask, self._features(image, mask))

    def write(self, folder: Path, name: str, reference: StockReference) -> None:
        """Writes three files."""
        Image.fromarray(reference.image).save(folder / f"{name}.png")
        Image.fromarray(reference.mask).save(folder / f"{name}.mask.png")
        np.save(folder / f"{name}.npy", reference.features)

    def _mask(self, image: NDArray[np.uint8], attention: NDArray[np.float32]) -> NDArray[np.bool_]:
        size = (image.shape[0], image.shape[1])
        found = localise(attention, size, self._settings.localisation)
        points = sample_points(found.binary, self._settings.localisation.points, found.scaled)
        self._predictor.set_image(image)
        masks, quality, _ = self._predictor.predict(points, np.ones(len(points)))
        good = quality >= self._settings.reference.min_quality
        agreement = [mask_iou(mask, found.binary) for mask in masks]
        best = int(np.where(good if good.any() else True, agreement, -1).argmax())
        chosen: NDArray[np.bool_] = masks[best]
        return chosen

    def _features(self, image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        pixels = self._processor(image, return_tensors="pt")["pixel_values"]
        hidden = self._dino(pixels.to(self._dino.device)).last_hidden_state
        side = pixels.shape[-1] // self._dino.config.patch_size
        tokens = hidden[0, -side * side :].cpu().numpy()
        small = Image.fromarray(mask.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
        weight = np.asarray(small).reshape(1, -1)
        means = np.concatenate([weight, 1 - weight]) @ tokens
        features: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return features


def _grid(pixels: int, aspect: float) -> tuple[int, int]:
    height = round((pixels * aspect) ** 0.5)
    return height, pixels // height
