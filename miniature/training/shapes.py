"""Nameless kinds of things without end: each seed is a species with its own parts and proportions.

A species is drawn like the world's named things, in other colours, tilts and proportions each time.
Models that shall tell shapes apart, never-seen ones included, learn from these; none of them is
modelled on a category of the world.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from miniature.textures import TEXTURES
from miniature.things import (
    BROWN,
    DESIGNS,
    FLAME,
    IVORY,
    RUBBER,
    STEM,
    Paint,
    Piece,
    Pieces,
    Points,
    arc,
    band,
    box,
    ellipse,
)
from miniature.world import MOST_TILT, Canvas, Pose, Scene, finish_scene, place_thing

SPECIES = "species "  # an instance of species 17 has the category "species 17"

_BODY_PAINTS: tuple[Paint, ...] = ("main", "main", "main", "main", "accent", "light", "dark")
_LIMB_PAINTS: tuple[Paint, ...] = (
    *("main", "main", "accent", "accent", "accent", "dark", "light", "shade"),
    *(BROWN, STEM, IVORY, FLAME, RUBBER),
)
_MARK_PAINTS: tuple[Paint, ...] = (
    "accent",
    "accent",
    "light",
    "light",
    "dark",
    "glass",
    RUBBER,
    None,
)


def species_of(category: str) -> int | None:
    """The species number of an instance's category; None for a named category."""
    return int(category.removeprefix(SPECIES)) if category.startswith(SPECIES) else None


def species_pieces(species: int, rng: np.random.Generator) -> Pieces:
    """One individual of a species: its pieces in the unit frame, proportions varied by `rng`."""
    pieces = _design(np.random.default_rng([species, 17]))
    corners = np.concatenate([np.asarray(piece.points) for piece in pieces])
    low, high = corners.min(0), corners.max(0)
    scale = 1.9 / (high - low).max() * rng.uniform(0.88, 1.08, 2)
    bend = rng.normal(0, 0.05, 2)
    individual = []
    for piece in pieces:
        points = (np.asarray(piece.points) - (low + high) / 2) * scale
        centre = points.mean(0)
        points = centre + (points - centre) * rng.uniform(0.88, 1.12) + rng.normal(0, 0.015, 2)
        points = points + points[:, ::-1] * bend
        individual.append(Piece(piece.part, [(float(x), float(y)) for x, y in points], piece.paint))
    return individual


def draw_species_scene(
    seed: int,
    kinds: Sequence[str],
    size: tuple[int, int] = (128, 128),
    single: bool = False,
) -> Scene:
    """Draws things of the given kinds (names of designs or "species N") on 1-2 kinds of stuff.

    `size` is (height, width) in pixels; `single` draws the first kind alone and large. Kinds for
    which the frame has no room are left out.
    """
    rng = np.random.default_rng([seed, 3])
    canvas = Canvas(size)
    names = list(TEXTURES)
    stuff = [names[int(i)] for i in rng.permutation(len(names))[: 1 if rng.random() < 0.6 else 2]]
    canvas.paint_stuff(rng, stuff[:1] if single else stuff)
    placed: list[Pose] = []
    drawn: list[tuple[str, Pieces, str]] = []
    for kind in kinds[:1] if single else kinds:
        pose = _alone(rng) if single else place_thing(rng, placed, size[1] / size[0])
        if pose is None:
            continue
        species = species_of(kind)
        pieces = DESIGNS[kind](rng) if species is None else species_pieces(species, rng)
        colour = canvas.paint_thing(rng, len(drawn), pieces, pose)
        placed.append(pose)
        drawn.append((kind, pieces, colour))
    return finish_scene(canvas, drawn, stuff[:1] if single else stuff, "shapes")


def _alone(rng: np.random.Generator) -> Pose:
    x, y = rng.uniform(0.43, 0.57, 2)
    tilt = rng.uniform(-MOST_TILT, MOST_TILT)
    return Pose(x, y, rng.uniform(0.3, 0.43), tilt, bool(rng.random() < 0.5))


def _design(rng: np.random.Generator) -> Pieces:
    """The pieces of a species: limbs behind, one to three bodies, limbs before, marks on top."""
    bodies = [(0.0, 0.0, rng.uniform(0.35, 0.75), rng.uniform(0.35, 0.75))]
    for _ in range(int(rng.choice(3, p=(0.5, 0.35, 0.15)))):
        x, y, rx, ry = bodies[int(rng.integers(len(bodies)))]
        angle = rng.uniform(0, 2 * math.pi)
        reach = rng.uniform(0.8, 1.25)
        small = rng.uniform(0.4, 0.9, 2)
        bodies.append(
            (
                x + reach * rx * math.cos(angle),
                y + reach * ry * math.sin(angle),
                *(small * (rx, ry)),
            )
        )
    behind: Pieces = []
    before: Pieces = []
    for number in range(int(rng.choice(5, p=(0.15, 0.25, 0.3, 0.2, 0.1)))):
        limbs = _limbs(rng, bodies[int(rng.integers(len(bodies)))], f"limb{number}")
        (behind if rng.random() < 0.7 else before).extend(limbs)
    trunk = [
        Piece(f"body{i}", _body(rng, *where), _BODY_PAINTS[int(rng.integers(len(_BODY_PAINTS)))])
        for i, where in enumerate(bodies)
    ]
    marks: Pieces = []
    for number in range(int(rng.choice(4, p=(0.2, 0.35, 0.3, 0.15)))):
        marks += _marks(rng, bodies[int(rng.integers(len(bodies)))], f"mark{number}")
    return [*behind, *trunk, *before, *marks]


def _body(rng: np.random.Generator, x: float, y: float, rx: float, ry: float) -> Points:
    """An outline about (x, y): ellipse, box, trapezium, polygon, star, blob, dome or crescent."""
    turn = rng.uniform(0, math.pi)
    match int(rng.integers(8)):
        case 0:
            return ellipse(x, y, rx, ry, turn)
        case 1:
            return box(x - rx, y - ry, x + rx, y + ry)
        case 2:
            top, low = rng.uniform(0.3, 1.0, 2) * rx
            return [(x - top, y - ry), (x + top, y - ry), (x + low, y + ry), (x - low, y + ry)]
        case 3:
            return [
                (x + rx * px, y + ry * py)
                for px, py in ellipse(0, 0, 1, 1, turn, int(rng.integers(3, 8)))
            ]
        case 4:
            spikes, inner = int(rng.integers(4, 9)), rng.uniform(0.35, 0.75)
            rim = ellipse(0, 0, 1, 1, turn, 2 * spikes)
            return [
                (x + rx * px * (inner if i % 2 else 1.0), y + ry * py * (inner if i % 2 else 1.0))
                for i, (px, py) in enumerate(rim)
            ]
        case 5:
            waves = [(rng.normal(0, 0.16), int(k), rng.uniform(0, 6.28)) for k in (2, 3, 4, 5)]
            outline = []
            for px, py in ellipse(0, 0, 1, 1, 0, 36):
                angle = math.atan2(py, px)
                r = 1 + sum(a * math.cos(k * angle + phase) for a, k, phase in waves)
                outline.append((x + rx * r * px, y + ry * r * py))
            return outline
        case 6:
            start = math.pi * int(rng.integers(4)) / 2
            return arc(x, y, rx, ry, start, start + math.pi)
        case _:
            start = rng.uniform(0, 2 * math.pi)
            inner = rng.uniform(0.3, 0.8)
            outer = arc(x, y, rx, ry, start, start + math.pi * 1.3)
            back = arc(x, y, rx * inner, ry * inner, start + math.pi * 1.3, start)
            return outer + back


def _limbs(rng: np.random.Generator, body: tuple[float, float, float, float], part: str) -> Pieces:
    """One kind of limb around a body: a single one, a mirrored pair, a row or a ring of them."""
    x, y, rx, ry = body
    paint = _LIMB_PAINTS[int(rng.integers(len(_LIMB_PAINTS)))]
    length, width = rng.uniform(0.2, 0.8), rng.uniform(0.06, 0.3)
    kind, curl = int(rng.integers(6)), rng.uniform(-0.5, 0.5)
    angle = rng.uniform(0, 2 * math.pi)
    match int(rng.integers(4)):
        case 0:
            angles = [angle]
        case 1:
            angles = [angle, math.pi - angle]
        case 2:
            gap = rng.uniform(0.4, 0.9)
            angles = [angle + gap * i for i in range(int(rng.integers(2, 4)))]
        case _:
            count = int(rng.integers(4, 8))
            angles = [angle + 2 * math.pi * i / count for i in range(count)]
    pieces = []
    for number, direction in enumerate(angles):
        sign = -1.0 if number % 2 and len(angles) == 2 else 1.0
        foot = np.array([x + 0.85 * rx * math.cos(direction), y + 0.85 * ry * math.sin(direction)])
        outline = _limb(kind, length, width, curl * sign)
        cos, sin = math.cos(direction), math.sin(direction)
        turned = np.asarray(outline) @ np.array([[cos, sin], [-sin, cos]]) + foot
        pieces.append(Piece(part, [(float(px), float(py)) for px, py in turned], paint))
    if kind == 5 and rng.random() < 0.6:
        holes = []
        for piece in pieces:
            points = np.asarray(piece.points)
            hole = points.mean(0) + (points - points.mean(0)) * 0.55
            holes.append(Piece(part, [(float(px), float(py)) for px, py in hole], None))
        pieces += holes
    return pieces


def _limb(kind: int, length: float, width: float, curl: float) -> Points:
    """A limb along +x from the origin: bar, spike, club, tail, leaf or round."""
    if kind == 0:
        return box(-0.1, -width / 2, length, width / 2)
    if kind == 1:
        return [(-0.1, -width * 0.8), (length, curl * length), (-0.1, width * 0.8)]
    if kind == 2:
        return [(-0.1, -width / 3), (length, -width), (length * 0.9, width), (-0.1, width / 3)]
    if kind == 3:
        path = [(length * t, curl * length * 1.6 * t * t) for t in np.linspace(-0.1, 1, 9)]
        return band(path, max(0.06, width / 2))
    if kind == 4:
        return ellipse(length / 2, curl * width, length / 2 + 0.08, width)
    return ellipse(length / 2, 0.0, length / 2 + 0.05, length / 2)


def _marks(rng: np.random.Generator, body: tuple[float, float, float, float], part: str) -> Pieces:
    """Marks on a body: spots, a stripe, a smaller copy of an outline, a window, an eye."""
    x, y, rx, ry = body
    paint = _MARK_PAINTS[int(rng.integers(len(_MARK_PAINTS)))]
    match int(rng.integers(5)):
        case 0:
            r = rng.uniform(0.06, 0.14)
            spots = rng.uniform(-0.6, 0.6, (int(rng.integers(2, 6)), 2)) * (rx, ry) + (x, y)
            return [Piece(part, ellipse(px, py, r, r, corners=12), paint) for px, py in spots]
        case 1:
            at, half = rng.uniform(-0.4, 0.4) * ry, rng.uniform(0.1, 0.2) * ry
            stripe = box(x - rx * 0.75, y + at - half, x + rx * 0.75, y + at + half)
            return [Piece(part, stripe, paint)]
        case 2:
            size = rng.uniform(0.3, 0.65)
            return [Piece(part, _body(rng, x, y, rx * size, ry * size), paint or "light")]
        case 3:
            px, py = x + rng.uniform(-0.4, 0.4) * rx, y + rng.uniform(-0.4, 0.4) * ry
            wide, tall = rng.uniform(0.1, 0.22, 2)
            return [Piece(part, box(px - wide, py - tall, px + wide, py + tall), paint)]
        case _:
            px, py = x + rng.uniform(-0.5, 0.5) * rx, y + rng.uniform(-0.5, 0.5) * ry
            return [
                Piece(part, ellipse(px, py, 0.12, 0.12, corners=14), "light"),
                Piece(part, ellipse(px, py, 0.06, 0.06, corners=10), RUBBER),
            ]
