"""The photographs that scikit-image ships, their masks drawn by hand, and scores against these."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from foundation.images.masks import decode_rle
from foundation.images.reading import read_image
from query.overlay import draw_overlay
from schemas.errors import RimError, UsageError
from schemas.ids import UNLABELLED
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
    """Reads data/check/photos.json; its README describes the format."""
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


class PhotoResult(Protocol):
    """The part of `query.segmentation.Segmentation` that is scored and shown."""

    @property
    def label_map(self) -> NDArray[np.int32]:
        """(H, W) category ids, -1 unlabelled."""
        ...

    @property
    def category_names(self) -> Mapping[int, str]:
        """Names by category id."""
        ...

    def overlay(self) -> NDArray[np.uint8]:
        """The photo with its labels, uint8 (H, W, 3)."""
        ...


class PhotoEngine(Protocol):
    """The part of `query.segmentation.QueryEngine` that labels photos."""

    def segment(self, image: Path) -> PhotoResult:
        """Labels one photo."""
        ...


def score_photo(
    photo: CheckPhoto, label_map: NDArray[np.int32], names: Mapping[int, str]
) -> dict[str, float]:
    """Computes the IoU of each category that a photograph shows, over the pixels not ignored.

    Args:
        photo: with its masks.
        label_map: (H, W) category ids, -1 unlabelled.
        names: by category id.

    Raises:
        UsageError: the label map has another size than the photograph.
    """
    if label_map.shape != photo.size:
        raise UsageError(f"{photo.file}: expected labels {photo.size}, found {label_map.shape}")
    scored = photo.scored()
    ids = {name: category_id for category_id, name in names.items()}
    scores = {}
    for name in photo.categories:
        truth = photo.mask(name) & scored
        found = (label_map == ids[name]) & scored if name in ids else np.zeros_like(truth)
        union = np.count_nonzero(truth | found)
        scores[name] = np.count_nonzero(truth & found) / union if union else 0.0
    return scores


def draw_truth(photo: CheckPhoto, names: Mapping[int, str]) -> NDArray[np.uint8]:
    """Draws a photograph's masks over it, as labels are drawn, uint8 (H, W, 3)."""
    truth = np.full(photo.size, UNLABELLED, np.int32)
    for category_id, name in names.items():
        if name in photo.categories:
            truth[photo.mask(name)] = category_id
    return draw_overlay(read_image(photo.check_file()), truth, names)
