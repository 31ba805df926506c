"""Features and text-image embeddings by transformers alone, without rim's own preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

_FROM_FOLDER: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_WEIGHTS: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True}
# What DINOv2 and DINOv3 were trained with, should a folder not say it.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def patch_tokens(
    folder: Path, image: NDArray[np.uint8], size: int, device: torch.device
) -> NDArray[np.float32]:
    """Computes the last layer's patch tokens of a DINO model.

    The image is resized by Pillow, so that its short side is `size` and both sides are the nearest
    whole numbers of patches; the folder's own image processor rescales and normalises it.

    Args:
        folder: of the model.
        image: uint8 (H, W, 3) RGB, its long side at most four short ones.
        size: of the short side, in pixels.
        device: to run on.

    Returns:
        float32 (rows, columns, d).
    """
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, **_FROM_FOLDER, **_WEIGHTS).to(device).eval()
    patch = int(model.config.patch_size)
    height, width = image.shape[:2]
    rows, columns = (
        int(side * size / min(height, width) / patch + 0.5) for side in (height, width)
    )
    resized = Image.fromarray(image).resize(
        (columns * patch, rows * patch), Image.Resampling.BICUBIC
    )
    with torch.inference_mode():
        hidden = model(pixel_values=_normalised(folder, resized).to(device)).last_hidden_state[0]
    patches: NDArray[np.float32] = hidden[-rows * columns :].float().cpu().numpy()
    return patches.reshape(rows, columns, -1)


def image_and_text_embeddings(
    folder: Path, image: NDArray[np.uint8], texts: Sequence[str], device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Computes CLIP's embeddings of an image (d,) and of texts (n, d), L2-normalised float32.

    Everything is the folder's own: image processor, tokenizer and model.
    """
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    model = CLIPModel.from_pretrained(folder, **_FROM_FOLDER, **_WEIGHTS).to(device).eval()
    tokens = AutoTokenizer.from_pretrained(folder, **_FROM_FOLDER)(
        list(texts), padding=True, return_tensors="pt"
    )
    pixels = AutoImageProcessor.from_pretrained(folder, **_FROM_FOLDER)(
        images=Image.fromarray(image), return_tensors="pt"
    )["pixel_values"]
    with torch.inference_mode():
        output = model(
            pixel_values=pixels.to(device),
            input_ids=tokens["input_ids"].to(device),
            attention_mask=tokens["attention_mask"].to(device),
        )
    unit = torch.nn.functional.normalize
    of_image: NDArray[np.float32] = unit(output.image_embeds[0], dim=-1).float().cpu().numpy()
    of_texts: NDArray[np.float32] = unit(output.text_embeds, dim=-1).float().cpu().numpy()
    return of_image, of_texts


def _normalised(folder: Path, image: Image.Image) -> torch.Tensor:
    """float32 (1, 3, H, W) of an image that already has its size."""
    from transformers import AutoImageProcessor

    if not (folder / "preprocessor_config.json").is_file():
        values = (np.asarray(image, np.float64) / 255 - np.array(_MEAN)) / np.array(_STD)
        return torch.from_numpy(values.astype(np.float32).transpose(2, 0, 1)[None])
    processor = AutoImageProcessor.from_pretrained(folder, **_FROM_FOLDER)
    pixels: torch.Tensor = processor(
        images=image, do_resize=False, do_center_crop=False, return_tensors="pt"
    )["pixel_values"]
    return pixels
