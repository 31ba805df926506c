"""The textures of the world's stuff: grass, sky, sand, water, brick, snow, at any resolution.

Each function returns float32 RGB in [0, 255] of shape (H, W, 3). ``unit`` is the number of pixels
that one 64th of the frame's short side has, so that a texture looks the same at every resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Texture = NDArray[np.float32]


def smooth_noise(
    rng: np.random.Generator, height: int, width: int, spot: float
) -> NDArray[np.float32]:
    """Noise in about [-1, 1] with spots ``spot`` pixels wide, float32 (height, width)."""
    rows, columns = max(2, math.ceil(height / spot)), max(2, math.ceil(width / spot))
    coarse = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def _tinted(
    base: tuple[float, float, float],
    rng: np.random.Generator,
    height: int,
    width: int,
    jitter: float,
) -> Texture:
    colour = np.asarray(base, np.float32) + rng.uniform(-jitter, jitter, 3).astype(np.float32)
    return np.broadcast_to(colour, (height, width, 3)).copy()


def _to_image(texture: Texture) -> Image.Image:
    return Image.fromarray(np.clip(texture, 0, 255).astype(np.uint8))


def _grass(rng: np.random.Generator, height: int, width: int, unit: float) -> Texture:
    texture = _tinted((92, 156, 60), rng, height, width, 14)
    texture += smooth_noise(rng, height, width, 14 * unit)[..., None] * 16
    image = _to_image(texture)
    draw = ImageDraw.Draw(image)
    blades = int(height * width / (unit * unit) / 9)
    at = rng.uniform(0, 1, (blades, 2)) * (width, height)
    lean, tall = rng.normal(0, 1.2, blades) * unit, rng.uniform(2.5, 5.5, blades) * unit
    light = rng.uniform(-38, 42, blades)
    base = np.asarray(texture.mean((0, 1)))
    for (x, y), dx, dy, shade in zip(at, lean, tall, light, strict=True):
        colour = tuple(int(c) for c in np.clip(base + shade, 0, 255))
        draw.line([(x, y), (x + dx, y - dy)], fill=colour, width=max(1, round(0.7 * unit)))
    return np.asarray(image, np.float32)


def _sky(rng: np.random.Generator, height: int, width: int, unit: float) -> Texture:
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top = np.asarray((96, 160, 228), np.float32) + rng.uniform(-16, 16, 3)
    texture = top * (1 - ramp) + np.asarray((196, 222, 246)) * ramp
    texture = np.broadcast_to(texture, (height, width, 3)).astype(np.float32)
    clouds = Image.new("L", (width, height))
    draw = ImageDraw.Draw(clouds)
    for _ in range(int(rng.integers(2, 5))):
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        for _ in range(5):
            x, y = cx + rng.normal(0, 5) * unit, cy + rng.normal(0, 1.2) * unit
            rx, ry = rng.uniform(3, 7) * unit, rng.uniform(1.5, 3) * unit
            draw.ellipse([x - rx, y - ry, x + rx, y + ry], fill=220)
    alpha = (
        np.asarray(clouds.filter(ImageFilter.GaussianBlur(0.9 * unit)), np.float32)[..., None] / 255
    )
    return np.asarray(texture * (1 - alpha) + 250 * alpha, np.float32)


def _sand(rng: np.random.Generator, height: int, width: int, unit: float) -> Texture:
    texture = _tinted((224, 194, 136), rng, height, width, 12)
    texture += smooth_noise(rng, height, width, 16 * unit)[..., None] * 13
    rows = np.arange(height, dtype=np.float32)[:, None] / unit
    warp = smooth_noise(rng, height, width, 18 * unit) * 2.5
    texture += (np.sin((rows + warp * 2) * rng.uniform(0.7, 1.0)) * 7)[..., None]
    grains = smooth_noise(rng, height, width, max(1.0, 0.9 * unit))
    return texture + (grains * 20)[..., None]


def _water(rng: np.random.Generator, height: int, width: int, unit: float) -> Texture:
    texture = _tinted((44, 112, 176), rng, height, width, 14)
    texture += smooth_noise(rng, height, width, 14 * unit)[..., None] * 12
    image = _to_image(texture)
    draw = ImageDraw.Draw(image)
    pitch, phase = rng.uniform(3.6, 5.0) * unit, rng.uniform(0, 6.28)
    crest = (150, 202, 232)
    for row in range(math.ceil(height / pitch) + 1):
        xs = np.arange(-unit, width + unit, unit)
        ys = row * pitch + np.sin(xs / unit * 0.75 + phase + 2.1 * row) * 1.1 * unit
        points = list(zip(xs.tolist(), ys.tolist(), strict=True))
        keep = rng.random(len(points)) < 0.8
        for i in range(len(points) - 1):
            if keep[i]:
                draw.line(points[i : i + 2], fill=crest, width=max(1, round(0.8 * unit)))
    return np.asarray(image, np.float32)


def _brick(rng: np.random.Generator, height: int, width: int, unit: float) -> Texture:
    mortar = _tinted((206, 196, 184), rng, height, width, 10)
    image = _to_image(mortar)
    draw = ImageDraw.Draw(image)
    tall, wide, gap = rng.uniform(4.5, 6) * unit, rng.uniform(10, 13) * unit, 0.9 * unit
    base = np.asarray((178, 84, 62)) + rng.uniform(-14, 14, 3)
    for row in range(math.ceil(height / tall) + 1):
        left = -wide * (0.5 if row % 2 else 0.0) - rng.uniform(0, 0.05) * wide
        for column in range(math.ceil(width / wide) + 2):
            x, y = left + column * wide, row * tall
            colour = tuple(int(c) for c in np.clip(base + rng.uniform(-20, 20), 0, 255))
            draw.rectangle([x, y, x + wide - gap, y + tall - gap], fill=colour)
    return np.asarray(image, np.float32) + smooth_noise(rng, height, width, 2 * unit)[..., None] * 8


def _snow(rng: np.random.Generator, height: int, width: int, unit: float) -> Texture:
    texture = _tinted((232, 240, 250), rng, height, width, 5)
    drift = smooth_noise(rng, height, width, 13 * unit)
    texture += drift[..., None] * np.asarray((17, 13, 7), np.float32)
    image = _to_image(texture)
    draw = ImageDraw.Draw(image)
    for _ in range(int(height * width / (unit * unit) / 90)):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.5, 1.0) * unit
        shade = (190, 208, 236) if rng.random() < 0.7 else (255, 255, 255)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=shade)
    return np.asarray(image, np.float32)


TEXTURES: dict[str, Callable[[np.random.Generator, int, int, float], Texture]] = {
    "grass": _grass,
    "sky": _sky,
    "sand": _sand,
    "water": _water,
    "brick": _brick,
    "snow": _snow,
}
