"""The shapes of the world's things: polygons with named parts, in a unit frame, varied by a random
generator.

A thing is drawn in the square [-1, 1]², x to the right and y down. Its parts are painted in order,
so that later ones cover earlier ones. A part's paint is a role ("main", "accent", "dark", "light",
"glass"), a fixed RGB colour, or ``None`` for a hole through which the background is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Points = list[tuple[float, float]]
Paint = str | tuple[int, int, int] | None

BROWN = (124, 82, 48)
STEM = (72, 140, 62)
IVORY = (242, 230, 206)
FLAME = (250, 170, 50)
RUBBER = (52, 52, 60)


@dataclass(frozen=True)
class Piece:
    """One polygon of a thing: the part it belongs to, its corners in the unit frame, its paint."""

    part: str
    points: Points
    paint: Paint


Pieces = list[Piece]


def ellipse(
    cx: float, cy: float, rx: float, ry: float, turn: float = 0.0, corners: int = 28
) -> Points:
    """Corners of an ellipse about (cx, cy), turned by ``turn`` radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    angles = [2 * math.pi * i / corners for i in range(corners)]
    unturned = [(rx * math.cos(a), ry * math.sin(a)) for a in angles]
    return [(cx + x * cos - y * sin, cy + x * sin + y * cos) for x, y in unturned]


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """Corners of an upright rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def arc(
    cx: float, cy: float, rx: float, ry: float, start: float, stop: float, corners: int = 18
) -> Points:
    """Points along an elliptic arc between two angles (radians, clockwise on the screen)."""
    steps = np.linspace(start, stop, corners)
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in steps]


def band(path: Points, width: float) -> Points:
    """A polygon of constant width along an open path."""
    line = np.asarray(path)
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * width / 2
    return [(float(x), float(y)) for x, y in np.concatenate([line + normal, (line - normal)[::-1]])]


def _house(rng: np.random.Generator) -> Pieces:
    wide, eaves = rng.uniform(0.55, 0.8), rng.uniform(-0.3, 0.0)
    over = wide + rng.uniform(0.06, 0.2)
    peak = rng.uniform(-0.25, 0.25)
    chimney = rng.choice([-0.5, 0.5]) * wide
    door = rng.uniform(-0.3, 0.3) * wide
    pieces = [
        Piece("chimney", box(chimney - 0.09, -0.85, chimney + 0.09, eaves), "dark"),
        Piece("wall", box(-wide, eaves, wide, 0.9), "main"),
        Piece("roof", [(-over, eaves), (peak, -0.95), (over, eaves)], "accent"),
        Piece("door", box(door - 0.15, 0.32, door + 0.15, 0.9), "dark"),
    ]
    for x in (door - 0.45, door + 0.45):
        if abs(x) < wide - 0.14:
            pieces.append(Piece("window", box(x - 0.12, 0.15, x + 0.12, 0.42), "glass"))
    return pieces


def _fish(rng: np.random.Generator) -> Pieces:
    tall, tail = rng.uniform(0.36, 0.58), rng.uniform(0.35, 0.55)
    pieces = [
        Piece("tail", [(0.4, 0.0), (0.98, -tail), (0.82, 0.0), (0.98, tail)], "accent"),
        Piece("fin", [(-0.25, -tall * 0.8), (0.15, -tall - 0.32), (0.35, -tall * 0.6)], "accent"),
        Piece("body", ellipse(-0.15, 0.0, 0.75, tall), "main"),
        Piece("fin", [(-0.1, 0.1), (0.25, 0.0), (0.22, 0.32)], "accent"),
        Piece("eye", ellipse(-0.58, -0.1, 0.12, 0.12, corners=14), "light"),
        Piece("eye", ellipse(-0.6, -0.1, 0.06, 0.06, corners=10), RUBBER),
    ]
    if rng.random() < 0.5:
        stripe = box(-0.3, -tall * 0.88, -0.18, tall * 0.88)
        pieces.insert(3, Piece("stripe", stripe, "light"))
    return pieces


def _tree(rng: np.random.Generator) -> Pieces:
    trunk = rng.uniform(0.09, 0.15)
    pieces = [Piece("trunk", box(-trunk, 0.1, trunk, 0.95), BROWN)]
    if rng.random() < 0.5:
        for level in range(3):
            wide, y = 0.42 + 0.17 * level, -0.95 + 0.42 * level
            fir = [(0.0, y), (wide, y + 0.65), (-wide, y + 0.65)]
            pieces.append(Piece("crown", fir, "main" if level % 2 == 0 else "shade"))
    else:
        for x, y, r in (
            (-0.4, -0.1, 0.42),
            (0.4, -0.12, 0.42),
            (0.0, -0.5, 0.46),
            (0.0, -0.1, 0.4),
        ):
            pieces.append(Piece("crown", ellipse(x, y, r, r), "main"))
        for _ in range(int(rng.integers(0, 5))):
            x, y = rng.uniform(-0.5, 0.5), rng.uniform(-0.6, 0.1)
            pieces.append(Piece("fruit", ellipse(x, y, 0.08, 0.08, corners=12), "accent"))
    return pieces


def _car(rng: np.random.Generator) -> Pieces:
    roof, lean = rng.uniform(-0.62, -0.45), rng.uniform(0.1, 0.25)
    wheel = rng.uniform(0.19, 0.25)
    cabin = [(-0.6, -0.05), (-0.6 + lean, roof), (0.3, roof), (0.55, -0.05)]
    pieces = [
        Piece("cabin", cabin, "main"),
        Piece(
            "window",
            [(-0.47, -0.1), (-0.36, roof + 0.1), (-0.1, roof + 0.1), (-0.1, -0.1)],
            "glass",
        ),
        Piece(
            "window", [(-0.0, -0.1), (-0.0, roof + 0.1), (0.25, roof + 0.1), (0.4, -0.1)], "glass"
        ),
        Piece(
            "body", [(-0.95, -0.05), (0.85, -0.05), (0.97, 0.15), (0.97, 0.4), (-0.95, 0.4)], "main"
        ),
        Piece("light", box(0.85, 0.06, 0.97, 0.2), FLAME),
    ]
    for x in (-0.52, 0.55):
        pieces.append(Piece("wheel", ellipse(x, 0.42, wheel, wheel), RUBBER))
        pieces.append(Piece("wheel", ellipse(x, 0.42, wheel * 0.45, wheel * 0.45), "light"))
    return pieces


def _boat(rng: np.random.Generator) -> Pieces:
    mast, deck = rng.uniform(-0.1, 0.15), rng.uniform(0.35, 0.45)
    pieces = [
        Piece("mast", box(mast - 0.035, -0.95, mast + 0.035, deck), BROWN),
        Piece(
            "sail", [(mast + 0.07, -0.85), (0.8, deck - 0.1), (mast + 0.07, deck - 0.1)], "accent"
        ),
        Piece("hull", [(-0.95, deck), (0.95, deck), (0.6, 0.85), (-0.6, 0.85)], "main"),
        Piece(
            "stripe",
            [(-0.9, deck + 0.06), (0.9, deck + 0.06), (0.83, deck + 0.16), (-0.83, deck + 0.16)],
            "light",
        ),
    ]
    if rng.random() < 0.7:
        jib = [(mast - 0.07, -0.65), (mast - 0.07, deck - 0.1), (-0.7, deck - 0.1)]
        pieces.insert(2, Piece("sail", jib, "light"))
    return pieces


def _mushroom(rng: np.random.Generator) -> Pieces:
    stem, wide, tall = rng.uniform(0.17, 0.28), rng.uniform(0.75, 0.95), rng.uniform(0.7, 1.0)
    cap = arc(0, 0.1, wide, tall, math.pi, 2 * math.pi)
    pieces = [
        Piece(
            "stem", [(-stem, 0.05), (stem, 0.05), (stem + 0.1, 0.92), (-stem - 0.1, 0.92)], IVORY
        ),
        Piece("cap", cap, "main"),
    ]
    for x, y in ((-0.45, -0.12), (0.05, -0.42), (0.45, -0.1), (0.0, -0.03)):
        r = rng.uniform(0.08, 0.14)
        pieces.append(Piece("spot", ellipse(x * wide, y * tall, r, r, corners=14), "light"))
    return pieces


def _butterfly(rng: np.random.Generator) -> Pieces:
    up, low = rng.uniform(0.36, 0.48), rng.uniform(0.26, 0.36)
    pieces: Pieces = []
    for side in (-1, 1):
        upper = ellipse(side * 0.48, -0.32, 0.5, up, side * -0.6)
        lower = ellipse(side * 0.38, 0.38, 0.38, low, side * 0.7)
        pieces += [Piece("wing", lower, "accent"), Piece("wing", upper, "main")]
        pieces.append(Piece("spot", ellipse(side * 0.55, -0.36, 0.16, 0.16, corners=14), "light"))
        pieces.append(
            Piece(
                "antenna",
                band([(0.0, -0.5), (side * 0.15, -0.75), (side * 0.3, -0.92)], 0.06),
                RUBBER,
            )
        )
    return [*pieces, Piece("body", ellipse(0, 0.0, 0.1, 0.62), RUBBER)]


def _key(rng: np.random.Generator) -> Pieces:
    ring = rng.uniform(0.33, 0.42)
    pieces = [
        Piece("shaft", box(-0.25, -0.09, 0.95, 0.09), "main"),
        Piece("bow", ellipse(-0.56, 0.0, ring, ring), "main"),
        Piece("bow", ellipse(-0.56, 0.0, ring * 0.52, ring * 0.52), None),
    ]
    for x in (0.5, 0.74)[: int(rng.integers(1, 3))] if rng.random() < 0.4 else (0.45, 0.64, 0.84):
        pieces.append(
            Piece("tooth", box(x - 0.06, 0.05, x + 0.06, rng.uniform(0.28, 0.42)), "main")
        )
    return pieces


def _flower(rng: np.random.Generator) -> Pieces:
    petals, turn = int(rng.integers(5, 9)), rng.uniform(0, 1)
    pieces = [
        Piece("stem", box(-0.05, -0.2, 0.05, 0.97), STEM),
        Piece("leaf", ellipse(0.27, 0.62, 0.28, 0.12, -0.5), STEM),
    ]
    if rng.random() < 0.6:
        pieces.append(Piece("leaf", ellipse(-0.27, 0.7, 0.28, 0.12, 0.5), STEM))
    for i in range(petals):
        a = turn + 2 * math.pi * i / petals
        petal = ellipse(
            0.36 * math.cos(a), -0.35 + 0.36 * math.sin(a), 0.27, 1.1 / petals + 0.02, a
        )
        pieces.append(Piece("petal", petal, "main"))
    return [*pieces, Piece("centre", ellipse(0, -0.35, 0.19, 0.19), "accent")]


def _cup(rng: np.random.Generator) -> Pieces:
    top, foot = rng.uniform(0.58, 0.7), rng.uniform(0.35, 0.5)
    handle = ellipse(top * 0.9, 0.0, 0.36, 0.4)
    return [
        Piece("handle", handle, "main"),
        Piece("handle", ellipse(top * 0.9, 0.0, 0.2, 0.24), None),
        Piece("body", [(-top, -0.6), (top, -0.6), (foot, 0.8), (-foot, 0.8)], "main"),
        Piece(
            "stripe",
            [(-top * 0.93, -0.2), (top * 0.93, -0.2), (top * 0.85, 0.15), (-top * 0.85, 0.15)],
            "accent",
        ),
        Piece("rim", ellipse(0, -0.6, top, 0.14), "light"),
        Piece("rim", ellipse(0, -0.58, top * 0.85, 0.09), BROWN),
    ]


def _umbrella(rng: np.random.Generator) -> Pieces:
    tall = rng.uniform(0.7, 0.9)
    hook = arc(0.14, 0.72, 0.14, 0.18, math.pi, 0, 10)
    pieces = [
        Piece("handle", box(-0.045, -0.2, 0.045, 0.75), BROWN),
        Piece("handle", band([(0.0, 0.6), *hook], 0.09), BROWN),
    ]
    count = 4
    for i in range(count):
        left, right = -0.95 + 1.9 * i / count, -0.95 + 1.9 * (i + 1) / count
        start, stop = math.acos(-left / 0.95), math.acos(-right / 0.95)
        edge = arc(0, 0.05, 0.95, tall, math.pi + start, math.pi + stop, 8)
        scallop = arc((left + right) / 2, 0.05, (right - left) / 2, 0.1, 0, -math.pi, 8)
        pieces.append(Piece("canopy", edge + scallop, "main" if i % 2 == 0 else "accent"))
    return pieces


def _rocket(rng: np.random.Generator) -> Pieces:
    wide = rng.uniform(0.24, 0.32)
    body = [
        (-wide, 0.5),
        (-wide, -0.25),
        *arc(0, -0.25, wide, 0.3, math.pi, 2 * math.pi),
        (wide, -0.25),
        (wide, 0.5),
    ]
    nose = [(-wide, -0.4), (-wide * 0.6, -0.72), (0.0, -0.97), (wide * 0.6, -0.72), (wide, -0.4)]
    fin = rng.uniform(0.55, 0.72)
    return [
        Piece("flame", [(-0.17, 0.5), (0.0, 0.98), (0.17, 0.5)], FLAME),
        Piece("fin", [(-wide, 0.05), (-fin, 0.6), (-wide, 0.5)], "accent"),
        Piece("fin", [(wide, 0.05), (fin, 0.6), (wide, 0.5)], "accent"),
        Piece("body", body, "main"),
        Piece("nose", nose, "accent"),
        Piece("window", ellipse(0, -0.12, 0.14, 0.14), "glass"),
    ]


def _bird(rng: np.random.Generator) -> Pieces:
    plump = rng.uniform(0.38, 0.48)
    return [
        Piece("leg", box(-0.12, 0.4, -0.05, 0.95), FLAME),
        Piece("leg", box(0.1, 0.4, 0.17, 0.95), FLAME),
        Piece("tail", [(0.35, 0.0), (0.97, -0.3), (0.92, 0.05), (0.4, 0.3)], "accent"),
        Piece("body", ellipse(0.02, 0.12, 0.58, plump, 0.15), "main"),
        Piece("head", ellipse(-0.45, -0.4, 0.31, 0.31), "main"),
        Piece("beak", [(-0.72, -0.5), (-0.98, -0.36), (-0.7, -0.28)], FLAME),
        Piece("wing", ellipse(0.15, 0.1, 0.36, plump * 0.5, 0.35), "accent"),
        Piece("eye", ellipse(-0.52, -0.47, 0.07, 0.07, corners=12), RUBBER),
    ]


def _snail(rng: np.random.Generator) -> Pieces:
    shell = rng.uniform(0.48, 0.58)
    pieces = [
        Piece(
            "body",
            [(-0.95, 0.35), (-0.75, 0.2), (-0.5, 0.45), (0.6, 0.5), (0.97, 0.78), (-0.72, 0.78)],
            IVORY,
        ),
        Piece("antenna", band([(-0.85, 0.3), (-0.9, 0.05), (-0.97, -0.12)], 0.07), IVORY),
        Piece("antenna", band([(-0.78, 0.3), (-0.74, 0.05), (-0.7, -0.12)], 0.07), IVORY),
    ]
    for i, ring in enumerate((1.0, 0.72, 0.45, 0.2)):
        spiral = ellipse(0.15 - 0.06 * i, 0.05 + 0.04 * i, shell * ring, shell * ring)
        pieces.append(Piece("shell", spiral, "main" if i % 2 == 0 else "accent"))
    return pieces


def _chair(rng: np.random.Generator) -> Pieces:
    back, seat = rng.uniform(-0.95, -0.8), rng.uniform(0.0, 0.15)
    return [
        Piece("leg", box(-0.55, seat, -0.42, 0.95), "dark"),
        Piece("leg", box(0.42, seat, 0.55, 0.95), "dark"),
        Piece("back", box(-0.58, back, -0.42, seat), "main"),
        Piece("back", box(0.42, back, 0.58, seat), "main"),
        Piece("back", box(-0.58, back, 0.58, back + 0.24), "main"),
        Piece("back", box(-0.58, back + 0.4, 0.58, back + 0.56), "main"),
        Piece(
            "seat",
            [(-0.6, seat - 0.1), (0.6, seat - 0.1), (0.72, seat + 0.2), (-0.72, seat + 0.2)],
            "accent",
        ),
    ]


def _balloon(rng: np.random.Generator) -> Pieces:
    wide = rng.uniform(0.6, 0.72)
    return [
        Piece("rope", band([(-0.3, 0.2), (-0.15, 0.7)], 0.05), BROWN),
        Piece("rope", band([(0.3, 0.2), (0.15, 0.7)], 0.05), BROWN),
        Piece("basket", [(-0.2, 0.65), (0.2, 0.65), (0.16, 0.95), (-0.16, 0.95)], BROWN),
        Piece(
            "envelope", [(-wide * 0.8, 0.0), (wide * 0.8, 0.0), (0.18, 0.48), (-0.18, 0.48)], "main"
        ),
        Piece("envelope", ellipse(0, -0.28, wide, 0.67), "main"),
        Piece("stripe", ellipse(0, -0.28, wide * 0.6, 0.67), "accent"),
        Piece("stripe", ellipse(0, -0.28, wide * 0.22, 0.67), "light"),
    ]


DESIGNS: dict[str, Callable[[np.random.Generator], Pieces]] = {
    "house": _house,
    "fish": _fish,
    "tree": _tree,
    "car": _car,
    "boat": _boat,
    "mushroom": _mushroom,
    "butterfly": _butterfly,
    "key": _key,
    "flower": _flower,
    "cup": _cup,
    "umbrella": _umbrella,
    "rocket": _rocket,
    "bird": _bird,
    "snail": _snail,
    "chair": _chair,
    "balloon": _balloon,
}


def random_shape(rng: np.random.Generator) -> Pieces:
    """A nameless thing of one to four random parts, so that a segmenter learns more than the
    categories.
    """
    pieces: Pieces = []
    for _ in range(int(rng.integers(1, 5))):
        cx, cy = rng.uniform(-0.35, 0.35, 2) if pieces else (0.0, 0.0)
        size = rng.uniform(0.25, 0.55) if pieces else rng.uniform(0.55, 0.9)
        corners = int(rng.integers(3, 9))
        if rng.random() < 0.4:
            outline = ellipse(cx, cy, size, size * rng.uniform(0.4, 1.0), rng.uniform(0, math.pi))
        else:
            angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
            radii = size * rng.uniform(0.45, 1.0, corners)
            outline = [
                (cx + r * math.cos(a), cy + r * math.sin(a))
                for r, a in zip(radii, angles, strict=True)
            ]
        paint = ("main", "accent", "light", "dark", "glass")[len(pieces) % 5]
        pieces.append(Piece(f"piece{len(pieces)}", outline, paint))
    return pieces
