"""Damaging bytes as disks, networks and strangers do, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_NOTABLE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Damages a file once to four times.

    Args:
        data: a good file.
        chance: where everything random comes from.
        others: files of which pieces may be taken.
    """
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chance.choice(_KINDS)(data, chance, others)
    return data


def _flipped(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """A few bits are others."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 20))):
        if changed:
            changed[_place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """The end is missing."""
    return data[: chance.randrange(len(data) + 1)]


def _hole(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """A block is all zeros, as on a disk that lost it."""
    start = chance.randrange(len(data) + 1)
    size = min(chance.choice((4, 64, 512, 4096)), len(data) - start)
    return data[:start] + bytes(size) + data[start + size :]


def _number(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """A number somewhere, most of all in a header, is another."""
    size = chance.choice((1, 2, 4))
    value = chance.choice((*_NOTABLE, chance.getrandbits(32))) % (1 << (8 * size))
    order = chance.choice(("little", "big"))
    start = _place(data, chance)
    return data[:start] + value.to_bytes(size, order) + data[start + size :]


def _spliced(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """The end of another file follows the beginning of this one."""
    other = chance.choice(others)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def _moved(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """A piece is missing, twice there, or of another file."""
    start = chance.randrange(len(data) + 1)
    size = chance.choice((1, 7, 100, 1000))
    source = chance.choice((data, chance.choice(others)))
    begin = chance.randrange(len(source) + 1)
    piece = chance.choice((b"", source[begin : begin + size]))
    rest = data[start + chance.choice((0, size)) :]
    return data[:start] + piece + rest


def _place(data: bytes, chance: random.Random) -> int:
    """An index, every second time within the first 100 bytes."""
    most = len(data) if chance.random() < 0.5 else min(len(data), 100)
    return chance.randrange(max(1, most))


_KINDS: tuple[Callable[[bytes, random.Random, Sequence[bytes]], bytes], ...] = (
    _flipped,
    _flipped,
    _cut,
    _hole,
    _number,
    _number,
    _spliced,
    _moved,
)
