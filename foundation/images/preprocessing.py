"""Turning uint8 images into the normalised tensors that vision transformers read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from schemas.errors import ImageError, ModelError

_PIXELS_AT_ONCE = 1 << 22  # of float32 colours: 48 MB


@dataclass(frozen=True)
class Normalisation:
    """Per channel (R, G, B), on pixel values in [0, 1]: (value - mean) / std."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """float (..., 3, H, W) in [0, 1] to normalised values of the same shape."""
        mean = torch.tensor(self.mean, dtype=pixels.dtype, device=pixels.device)
        std = torch.tensor(self.std, dtype=pixels.dtype, device=pixels.device)
        return (pixels - mean[:, None, None]) / std[:, None, None]


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = Normalisation((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def read_normalisation(folder: Path, default: Normalisation) -> Normalisation:
    """What a model folder's preprocessor_config.json says, or the default if it says nothing.

    Raises:
        ModelError: the file is there but cannot be understood.
    """
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return default
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return Normalisation(
            _three(config.get("image_mean", default.mean)),
            _three(config.get("image_std", default.std)),
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path}: expected image_mean and image_std of three numbers each ({error})"
        ) from error


def check_image(image: npt.NDArray[np.uint8]) -> None:
    """Raises ImageError unless the array is uint8 (H, W, 3), not empty."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"expected uint8 (H, W, 3) RGB, found {image.dtype} {image.shape}")


def to_pixels(image: npt.NDArray[np.uint8]) -> torch.Tensor:
    """uint8 (H, W, 3) to float32 (1, 3, H, W) in [0, 1].

    Raises:
        ImageError: another shape or type.
    """
    check_image(image)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def resize(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> torch.Tensor:
    """uint8 (H, W, 3) to float32 (1, 3, *size) in [0, 1], antialiased bicubic.

    Rows are resized a strip at a time, then all columns: as one call does it, which holds the whole
    photo in float32, 12 bytes a pixel, more than once.

    Raises:
        ImageError: another shape or type.
    """
    check_image(image)
    height, width = image.shape[:2]
    at_once = max(1, _PIXELS_AT_ONCE // width)
    strips = []
    for top in range(0, height, at_once):
        strip = to_pixels(image[top : top + at_once])
        strips.append(_interpolate(strip, (strip.shape[2], size[1])))
    return _interpolate(torch.cat(strips, dim=2), size).clamp(0, 1)


def _interpolate(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return torch.nn.functional.interpolate(
        pixels, size, mode="bicubic", align_corners=False, antialias=True
    )


def _three(values: object) -> tuple[float, float, float]:
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise ValueError(f"found {values!r}")
    return float(values[0]), float(values[1]), float(values[2])
