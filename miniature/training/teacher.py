"""A convolutional network of patch features, the teacher of the miniature DINOv2.

Convolutions learn the kinds of drawn things many times faster than a small transformer does, from
the same labels. The transformer then learns from the teacher's features of every single patch,
which say far more about a picture than the kinds of its few regions.
"""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = _convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
    )


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, 2), nn.ReLU(inplace=True))


class ConvTeacher(nn.Module):
    """Features of 8x8 patches that see the whole picture: down to its 32nd part and up again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            _down(3, 32), _down(32, 64), _Block(64), _down(64, 128), _Block(128), _Block(128)
        )
        self.middle = nn.Sequential(_down(128, 192), _Block(192), _Block(192))
        self.coarse = nn.Sequential(_down(192, 256), _Block(256), _Block(256))
        self.coarse_up = nn.Conv2d(256, 192, 1)
        self.merge = _Block(192)
        self.middle_up = nn.Conv2d(192, 128, 1)
        self.last = _Block(128)
        self.out = nn.Conv2d(128, width, 1)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Tokens (B, H / 8 * W / 8, width), row by row, of normalised pixels (B, 3, H, W).

        H and W are multiples of 32.
        """
        fine = self.fine(pixels)
        middle = self.middle(fine)
        coarse = self.coarse_up(self.coarse(middle))
        middle = self.merge(middle + F.interpolate(coarse, scale_factor=2.0))
        fine = self.last(fine + F.interpolate(self.middle_up(middle), scale_factor=2.0))
        tokens: Tensor = self.norm(self.out(fine).flatten(2).transpose(1, 2))
        return tokens


def alike(tokens: Tensor, taught: Tensor) -> Tensor:
    """Mean cosine of tokens (..., d) and the teacher's."""
    return F.cosine_similarity(tokens.float(), taught.float(), dim=-1).mean()


def load_teacher(path: Path, width: int) -> ConvTeacher:
    """The teacher whose weights (safetensors) are at `path`, in evaluation mode."""
    teacher = ConvTeacher(width)
    teacher.load_state_dict(load_file(path))
    return teacher.eval().requires_grad_(False)
