"""The photographs that scikit-image ships, with the masks that were drawn over them by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.images.masks import decode_rle
from schemas.errors import RimError
from schemas.resources import check_photos_path
from schemas.rle import Rle


@dataclass(frozen=True)
class CheckCategory:
    """A category of the check's bank. stuff: whether it fills its images, as grass does."""

    name: str
    stuff: bool


@dataclass(frozen=True)
class CheckPhoto:
    """A photograph and its truth.

    Attributes:
        file: its name in scikit-image's data folder.
        sha256: of that file.
        size: (height, width) in pixels.
        categories: masks by category name, disjoint.
        ignore: pixels that are not scored. A pixel in no mask is none of the categories.
    """

    file: str
    sha256: str
    size: tuple[int, int]
    categories: Mapping[str, Rle]
    ignore: Rle

    @property
    def path(self) -> Path:
        """Where the installed scikit-image has it."""
        import skimage.data

        return Path(skimage.data.__file__).parent / self.file

    def check_file(self) -> Path:
        """The file's path.

        Raises RimError if it is missing, or not the one that the masks were drawn over.
        """
        try:
            found = hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise RimError(
                f"{self.file}: expected a photograph in scikit-image's data folder, found none "
                f"({error.strerror}); install scikit-image >= 0.26 again"
            ) from error
        if found != self.sha256:
            raise RimError(
                f"{self.file}: expected the file with SHA-256 {self.sha256[:12]}, over which the "
                f"masks were drawn, found {found[:12]}; install scikit-image 0.26"
            )
        return self.path

    def mask(self, category: str) -> NDArray[np.bool_]:
        """bool (H, W), the pixels of one of its categories."""
        return decode_rle(self.categories[category])

    def scored(self) -> NDArray[np.bool_]:
        """bool (H, W), the pixels that are not ignored."""
        return ~decode_rle(self.ignore)


@dataclass(frozen=True)
class CheckData:
    """The categories that the photographs show, and the photographs."""

    categories: tuple[CheckCategory, ...]
    photos: tuple[CheckPhoto, ...]


def read_check_data() -> CheckData:
    """What data/check/photos.json says; its README describes the format."""
    data: dict[str, Any] = json.loads(check_photos_path().read_text(encoding="utf-8"))
    return CheckData(
        categories=tuple(CheckCategory(**one) for one in data["categories"]),
        photos=tuple(
            CheckPhoto(
                file=one["file"],
                sha256=one["sha256"],
                size=(one["size"][0], one["size"][1]),
                categories={name: _rle(mask) for name, mask in one["categories"].items()},
                ignore=_rle(one["ignore"]),
            )
            for one in data["photos"]
        ),
    )


def _rle(mask: Mapping[str, Any]) -> Rle:
    return Rle((mask["size"][0], mask["size"][1]), mask["counts"])
