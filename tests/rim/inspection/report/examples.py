"""A small bank with a bit of everything, hostile texts included, and a reader of pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.images.masks import encode_rle
from foundation.images.reading import encode_png
from schemas.records import ModelRecord
from schemas.rle import Rle
from schemas.store.bank import StoredBank
from schemas.store.verdicts import Verdict
from schemas.tables import ReferenceRow
from tests.query.examples import failed, reference_row, write_bank

TAG = '"><img src=x onerror=alert(1)>'
RTL = "بيت & 'home'"
PLAIN = "house"
CLOSING = "</script><b>a photo</b>\u2028"
SPOOFED = "evil\u202egnp.exe<i>\ud800"
NAMES = {3: PLAIN, 5: TAG, 8: RTL}
COLOURS = {3: (220, 30, 40), 5: (30, 200, 60), 8: (40, 60, 230)}
SIZE = (24, 48)  # height, width


def disc() -> NDArray[np.bool_]:
    """A mask (24, 48): a disc of radius 8 about (x, y) = (24, 12)."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (x + 0.5 - 24) ** 2 + (y + 0.5 - 12) ** 2 < 64


def direction(category_id: int, number: int) -> NDArray[np.float32]:
    """Near the category's axis in 6 dimensions, each number a little elsewhere."""
    vector = np.eye(6)[sorted(NAMES).index(category_id)]
    vector = vector + 0.2 * np.random.default_rng(100 * category_id + number).normal(size=6)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def coloured_row(category_id: int, number: int) -> ReferenceRow:
    """An accepted image: a plain image in the category's colour, a disc for a mask."""
    image = np.empty((*SIZE, 3), np.uint8)
    image[:] = COLOURS[category_id]
    row = reference_row(
        category_id,
        NAMES[category_id],
        number,
        direction(category_id, number),
        direction(category_id, number + 50),
    )
    return replace(
        row,
        width=SIZE[1],
        height=SIZE[0],
        mask=encode_rle(disc()),
        mask_area=float(disc().mean()),
        points=np.array([[24, 12], [30, 12]], np.int32),
        png=encode_png(image),
        attention=encode_png(np.asarray(disc() * np.uint8(255), np.uint8)[::4, ::4]),
    )


def rejected(row: ReferenceRow, reason: str) -> ReferenceRow:
    """The same image, rejected when it was made."""
    return replace(row, status="rejected", reason=reason)


def example_bank(path: Path) -> StoredBank:
    """Three categories. house: 12 images, two rejected, one failed, 4 rejected by a person and 5
    accepted by a person over the automatic verdict. The others: 3 images each, one of the last
    without an image that can be decoded.
    """
    house = [coloured_row(3, number) for number in range(12)]
    house[1] = rejected(house[1], "mask too small (below 0.005 of the image)")
    house[2] = failed(house[2])
    house[9] = replace(rejected(house[9], "mask too small (below 0.01 of the image)"), mask=None)
    house[6] = replace(house[6], prompt=CLOSING, file=SPOOFED.replace("\ud800", ""), seed=None)
    tags = [replace(coloured_row(5, number), prompt=f"a photo of {TAG}") for number in range(3)]
    tags[1] = rejected(tags[1], f"agreement below 0.2 {TAG}")
    turned = [coloured_row(8, number) for number in range(3)]
    turned[1] = replace(turned[1], png=b"\x89PNG no image")
    turned[2] = replace(turned[2], mask=Rle(SIZE, "damaged"))
    image = {number: house[number].image_id for number in range(12)}
    verdicts = [
        Verdict(image[4], "rejected", "not a <b>house</b>", "person"),
        Verdict(image[5], "rejected", f"nearer to another category, {TAG} (by 0.15)", "automatic"),
        Verdict(image[5], "accepted", None, "person"),
        Verdict(image[7], "rejected", f"nearer to another category, {RTL} (by 0.15)", "automatic"),
    ]
    return write_bank(
        path,
        {PLAIN: house, TAG: tags, RTL: turned},
        verdicts=sorted(verdicts, key=lambda one: (one.image_id, one.by)),
        synonyms={PLAIN: ("home", "<u>hut</u>")},
        models={"features": ModelRecord(name="dino<i>", licence=TAG, fingerprint="f" * 64)},
    )


_VOID = frozenset({"meta", "link", "input", "img", "br", "image", "path", "use", "circle", "rect"})


@dataclass
class Page(HTMLParser):
    """One page, read strictly: `problems` has every tag that is not closed in its place."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def read(cls, path: Path) -> Page:
        page = cls()
        page.feed(path.read_text(encoding="utf-8"))
        page.close()
        page.problems += [f"{tag} is not closed" for tag in page.open]
        return page

    @property
    def text(self) -> str:
        return "".join(self.words)

    def attributes(self, *names: str) -> Iterator[str]:
        for _, attributes in self.tags:
            yield from (attributes[name] for name in names if name in attributes)

    def of_class(self, name: str) -> list[dict[str, str]]:
        return [own for _, own in self.tags if name in own.get("class", "").split()]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if len({name for name, _ in attrs}) != len(attrs):
            self.problems.append(f"{tag} has an attribute twice")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"/{tag} in a wrong place, line {self.getpos()[0]}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
