"""The miniature world: scenes and single images drawn from a seed, with exact ground truth.

Images are drawn at three times their size and averaged down; ground truth is read at the pixel
centres of the same drawing, so it is exact to a third of a pixel. The same seed at another size
gives the same scene.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from miniature.textures import TEXTURES
from miniature.things import DESIGNS, Pieces, random_shape

FAMILIAR: tuple[str, ...] = (
    "house",
    "fish",
    "tree",
    "car",
    "boat",
    "mushroom",
    "butterfly",
    "key",
    "flower",
    "cup",
    "umbrella",
    "rocket",
)
NOVEL: tuple[str, ...] = ("bird", "snail", "chair", "balloon")
THINGS = FAMILIAR + NOVEL
STUFF: tuple[str, ...] = ("grass", "sky", "sand", "water", "brick", "snow")
CATEGORIES = THINGS + STUFF
NO_CATEGORY = -1

# Training images have seeds from here on, those for scoring from the second on (benchmarks of
# the whole chain use ones below both): none is ever met twice.
FIRST_TRAINING_SEED = 1_000_000
FIRST_UNSEEN_SEED = 500_000_000

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (208, 52, 48),
    "orange": (238, 134, 44),
    "yellow": (246, 208, 66),
    "green": (56, 142, 72),
    "blue": (52, 88, 190),
    "purple": (134, 76, 170),
    "pink": (238, 136, 172),
    "white": (244, 242, 238),
    "brown": (136, 88, 54),
    "grey": (128, 132, 140),
}

_OVERSAMPLING = 3
MOST_TILT = math.radians(22)
_LEAST_CONTRAST = 75.0  # RGB distance between a thing's main colour and what lies behind it


@dataclass(frozen=True)
class Part:
    """A visible part of an instance: its name and its mask, (H, W) bool."""

    name: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Instance:
    """One thing of a scene: its visible mask (H, W) bool and parts, and its main colour's name."""

    category: str
    mask: NDArray[np.bool_]
    parts: tuple[Part, ...]
    colour: str


@dataclass(frozen=True)
class Scene:
    """An image and what is in it.

    ``image`` is (H, W, 3) uint8 RGB, ``labels`` (H, W) int32 with the index into
    :data:`CATEGORIES` (-1: a nameless shape), ``instances`` the things from back to front,
    ``stuff`` the kinds behind them.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    instances: tuple[Instance, ...]
    stuff: tuple[str, ...]
    caption: str


@dataclass(frozen=True)
class Pose:
    """The place of a thing: centre in fractions of (width, height), radius of the short side."""

    x: float
    y: float
    radius: float
    tilt: float
    mirror: bool


class Canvas:
    """An unfinished image: colour, owner (instance number) and part of every oversampled pixel."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.height, self.width = size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING
        self.unit = min(self.height, self.width) / 64
        self.colour = np.zeros((self.height, self.width, 3), np.float32)
        self.stuff = np.zeros((self.height, self.width), np.int16)
        self.owner = np.full((self.height, self.width), -1, np.int16)
        self.part = np.zeros((self.height, self.width), np.int16)

    def paint_stuff(self, rng: np.random.Generator, kinds: Sequence[str]) -> None:
        """Fills the frame with one kind, or with two on either side of a tilted, wavy line."""
        scale = self.unit * rng.uniform(0.8, 1.25)
        self.colour[:] = TEXTURES[kinds[0]](rng, self.height, self.width, scale)
        if len(kinds) == 1:
            return
        below = TEXTURES[kinds[1]](rng, self.height, self.width, scale)
        x = np.linspace(-1, 1, self.width)
        line = rng.uniform(0.35, 0.65) + x * rng.uniform(-0.12, 0.12)
        line = line + 0.03 * np.sin(x * rng.uniform(2, 6) + rng.uniform(0, 6))
        under = np.arange(self.height)[:, None] / self.height > line[None, :]
        self.colour[under] = below[under]
        self.stuff[under] = 1

    def paint_thing(self, rng: np.random.Generator, number: int, pieces: Pieces, pose: Pose) -> str:
        """Draws a thing over what is there; returns the name of its main colour."""
        centre, radius = self._frame(pose)
        layer = Image.new("I", (self.width, self.height), 0)
        draw = ImageDraw.Draw(layer)
        cos, sin = math.cos(pose.tilt), math.sin(pose.tilt)
        for index, piece in enumerate(pieces, start=1):
            corners = np.asarray(piece.points) * (-1 if pose.mirror else 1, 1)
            turned = corners @ np.array([[cos, sin], [-sin, cos]]) * radius + centre
            draw.polygon(
                [(float(x), float(y)) for x, y in turned], fill=index if piece.paint else 0
            )
        indices = np.asarray(layer)
        top, bottom, left, right = self._window(centre, radius)
        local = indices[top:bottom, left:right]
        drawn = local > 0
        behind = self.colour[top:bottom, left:right]
        average = behind[drawn].mean(0) if drawn.any() else np.zeros(3)
        name, paints = _choose_paints(rng, average)
        palette = np.zeros((len(pieces) + 1, 3), np.float32)
        for index, piece in enumerate(pieces, start=1):
            if piece.paint is not None:
                fixed = piece.paint if isinstance(piece.paint, tuple) else paints[piece.paint]
                palette[index] = fixed
        colour = palette[local] * self._light(rng, local.shape)[..., None]
        colour *= self._outline(local)[..., None]
        behind[drawn] = np.clip(colour, 0, 255)[drawn]
        self.owner[top:bottom, left:right][drawn] = number
        self.part[top:bottom, left:right][drawn] = local[drawn]
        return name

    def _frame(self, pose: Pose) -> tuple[NDArray[np.float64], float]:
        centre = np.array([pose.x * self.width, pose.y * self.height])
        return centre, pose.radius * min(self.height, self.width)

    def _window(self, centre: NDArray[np.float64], radius: float) -> tuple[int, int, int, int]:
        reach = radius * 1.5 + 2
        top, bottom = max(0, int(centre[1] - reach)), min(self.height, int(centre[1] + reach))
        left, right = max(0, int(centre[0] - reach)), min(self.width, int(centre[0] + reach))
        return top, bottom, left, right

    def _light(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Factors (h, w) of a soft light from one side."""
        angle = rng.uniform(0, 2 * math.pi)
        y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
        return (1.0 + 0.22 * (x * math.cos(angle) + y * math.sin(angle))).astype(np.float32)

    def _outline(self, parts: NDArray[np.int32]) -> NDArray[np.float32]:
        """Factors (h, w) that darken the borders of parts, like a drawn line."""
        reach = max(1, round(0.45 * self.unit))
        edge = ndimage.grey_dilation(parts, size=reach + 1) != ndimage.grey_erosion(
            parts, size=reach + 1
        )
        return np.where(edge, 0.62, 1.0).astype(np.float32)

    def image(self) -> NDArray[np.uint8]:
        n = _OVERSAMPLING
        blocks = self.colour.reshape(self.size[0], n, self.size[1], n, 3).mean((1, 3))
        return np.asarray(np.clip(np.rint(blocks), 0, 255), np.uint8)

    def centres(self, layer: NDArray[np.int16]) -> NDArray[np.int16]:
        start = _OVERSAMPLING // 2
        return layer[start::_OVERSAMPLING, start::_OVERSAMPLING]


def _choose_paints(
    rng: np.random.Generator, behind: NDArray[np.float64]
) -> tuple[str, dict[str, tuple[int, int, int]]]:
    """Chooses a main colour that stands out from what lies behind, an accent, and their shades."""
    names = list(COLOURS)
    for _ in range(20):
        main = names[int(rng.integers(len(names)))]
        if np.linalg.norm(np.asarray(COLOURS[main]) - behind) > _LEAST_CONTRAST:
            break
    others = [name for name in names if name != main]
    accent = others[int(rng.integers(len(others)))]

    def shade(name: str) -> tuple[int, int, int]:
        r, g, b = np.clip(np.asarray(COLOURS[name]) + rng.uniform(-14, 14, 3), 0, 255)
        return int(r), int(g), int(b)

    base = shade(main)
    darker = (int(base[0] * 0.82), int(base[1] * 0.82), int(base[2] * 0.82))
    paints = {
        "main": base,
        "shade": darker,
        "accent": shade(accent),
        "dark": (88, 58, 50) if rng.random() < 0.5 else (66, 72, 92),
        "light": (250, 246, 232),
        "glass": (176, 220, 240),
    }
    return main, paints


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def plain_caption(category: str) -> str:
    """The caption that names a category alone; stuff goes without an article."""
    return f"a photo of {category if category in STUFF else _a(category)}"


def finish_scene(
    canvas: Canvas,
    things: Sequence[tuple[str, Pieces, str]],
    kinds: Sequence[str],
    caption: str,
) -> Scene:
    owner, part, stuff = (canvas.centres(a) for a in (canvas.owner, canvas.part, canvas.stuff))
    labels = np.asarray([CATEGORIES.index(kind) for kind in kinds], np.int32)[stuff]
    instances = []
    for number, (category, pieces, colour) in enumerate(things):
        mask = owner == number
        if not mask.any():
            continue
        labels[mask] = CATEGORIES.index(category) if category in CATEGORIES else NO_CATEGORY
        names: dict[str, NDArray[np.bool_]] = {}
        for index, piece in enumerate(pieces, start=1):
            seen = mask & (part == index)
            if seen.any():
                names[piece.part] = names.get(piece.part, np.zeros_like(mask)) | seen
        parts = tuple(Part(name, seen) for name, seen in names.items())
        instances.append(Instance(category, mask, parts, colour))
    visible = tuple(kind for i, kind in enumerate(kinds) if (stuff == i).any())
    return Scene(canvas.image(), labels, tuple(instances), visible, caption)


def place_thing(rng: np.random.Generator, placed: list[Pose], aspect: float) -> Pose | None:
    """Finds a pose that overlaps the earlier ones at most in part; None if the frame is full."""
    for _ in range(40):
        radius = rng.uniform(0.15, 0.27)
        across, down = max(1.0, aspect), max(1.0, 1 / aspect)
        x = rng.uniform(radius * 0.8 / across, 1 - radius * 0.8 / across)
        y = rng.uniform(radius * 0.8 / down, 1 - radius * 0.8 / down)
        clear = all(
            math.hypot((x - p.x) * across, (y - p.y) * down) > 0.72 * (radius + p.radius)
            for p in placed
        )
        if clear:
            tilt = rng.uniform(-MOST_TILT, MOST_TILT)
            return Pose(x, y, radius, tilt, bool(rng.random() < 0.5))
    return None


def draw_scene(
    seed: int,
    size: tuple[int, int] = (128, 128),
    things: Sequence[str] = THINGS,
    shapes: int = 0,
) -> Scene:
    """Draws 2-5 things, partly overlapping, on 1-2 kinds of stuff.

    ``size`` is (height, width) in pixels. ``shapes`` adds that many nameless shapes (category
    "shape", label -1) for the training of models that must not learn names alone.
    """
    if min(size) < 16:
        raise ValueError(f"a scene is at least 16 pixels high and wide, not {size}")
    rng = np.random.default_rng([seed, 1])
    canvas = Canvas(size)
    kinds = [str(k) for k in rng.permutation(STUFF)[: int(rng.integers(1, 3))]]
    canvas.paint_stuff(rng, kinds)
    wanted = [str(things[int(rng.integers(len(things)))]) for _ in range(int(rng.integers(2, 6)))]
    wanted += ["shape"] * shapes
    placed: list[Pose] = []
    drawn: list[tuple[str, Pieces, str]] = []
    for category in (wanted[int(i)] for i in rng.permutation(len(wanted))):
        pose = place_thing(rng, placed, size[1] / size[0])
        if pose is None:
            continue
        pieces = random_shape(rng) if category == "shape" else DESIGNS[category](rng)
        colour = canvas.paint_thing(rng, len(drawn), pieces, pose)
        placed.append(pose)
        drawn.append((category, pieces, colour))
    caption = "a photo of " + " and ".join(_a(category) for category, _, _ in drawn)
    return finish_scene(canvas, drawn, kinds, caption + " on " + " and ".join(kinds))


def draw_single(seed: int, category: str, size: tuple[int, int] = (64, 64)) -> Scene:
    """Draws one thing large on one kind of stuff, or stuff that fills the frame, with a caption."""
    if category not in CATEGORIES:
        raise ValueError(f"no category {category!r} in this world; it has {', '.join(CATEGORIES)}")
    rng = np.random.default_rng([seed, 2])
    canvas = Canvas(size)
    if category in STUFF:
        canvas.paint_stuff(rng, [category])
        return finish_scene(canvas, [], [category], f"a photo of {category}")
    kind = str(rng.choice(STUFF))
    canvas.paint_stuff(rng, [kind])
    x, y = rng.uniform(0.43, 0.57, 2)
    tilt = rng.uniform(-MOST_TILT, MOST_TILT)
    pose = Pose(x, y, rng.uniform(0.3, 0.43), tilt, bool(rng.random() < 0.5))
    pieces = DESIGNS[category](rng)
    colour = canvas.paint_thing(rng, 0, pieces, pose)
    named = _a(category if rng.random() < 0.5 else f"{colour} {category}")
    where = f" on {kind}" if rng.random() < 0.5 else ""
    return finish_scene(canvas, [(category, pieces, colour)], [kind], f"a photo of {named}{where}")
